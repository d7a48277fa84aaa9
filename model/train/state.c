/* state.c: see state.h. */
#include "model/train/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

static const char magic[8] = {'C', 'O', 'C', 'A', 'T', 'R', 'N', '\n'};

enum { VERSION = 1, ALIGN = 64, ROWS = 4, CHECKSUM = 8 };

/* Its members lie without gaps. */
struct header {
	char magic[8];
	uint32_t version, zero;
	uint64_t size, step, epoch, offset, seed, data, config, floats, note_size;
};
_Static_assert(sizeof(struct header) == 88, "train_state.bin's header has gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "train_state.bin is little endian");

static uint64_t digest_of(const struct config *config, uint64_t *digest)
{
	char *json = config_write(config);

	*digest = json ? XXH3_64bits(json, strlen(json)) : 0;
	free(json);
	return *digest;
}

static size_t padding(size_t note_size)
{
	return (ALIGN - (sizeof(struct header) + note_size) % ALIGN) % ALIGN;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static bool put(FILE *stream, XXH3_state_t *sum, const void *bytes, size_t size)
{
	XXH3_64bits_update(sum, bytes, size);
	return fwrite(bytes, 1, size, stream) == size;
}

static bool put_all(FILE *stream, XXH3_state_t *sum, const struct header *header, const struct train_state *state,
		    const struct parameters *p)
{
	static const char zeros[ALIGN];
	const float *rows[ROWS] = {p->value, p->first, p->second, p->average};
	bool good = put(stream, sum, header, sizeof *header) && put(stream, sum, state->note, state->note_size) &&
		    put(stream, sum, zeros, padding(state->note_size));

	for (int r = 0; r < ROWS && good; r++)
		good = put(stream, sum, rows[r], p->floats * sizeof(float));
	uint64_t checksum = XXH3_64bits_digest(sum);
	return good && fwrite(&checksum, sizeof checksum, 1, stream) == 1;
}

enum status train_state_write(const char *path, const struct train_state *state, const struct parameters *p, struct err *err)
{
	struct header header = {.version = VERSION, .step = state->step, .epoch = state->place.epoch, .offset = state->place.offset,
				.seed = state->seed, .data = state->data, .floats = p->floats, .note_size = state->note_size};
	struct file_writer writer = {0};
	XXH3_state_t *sum = XXH3_createState();

	if (!sum || !digest_of(&p->config, &header.config)) {
		XXH3_freeState(sum);
		return err_memory(err, "a training state");
	}
	memcpy(header.magic, magic, sizeof magic);
	header.size = sizeof header + state->note_size + padding(state->note_size) + ROWS * p->floats * sizeof(float) + CHECKSUM;
	XXH3_64bits_reset(sum);
	enum status status = file_writer_open(path, &writer, err);
	if (status == STATUS_OK && !put_all(writer.stream, sum, &header, state, p)) {
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", path, strerror(errno));
		file_writer_abort(&writer);
	}
	if (status == STATUS_OK)
		status = file_writer_commit(&writer, err);
	XXH3_freeState(sum);
	return status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Maps a file and checks everything that does not depend on the model. */
static enum status open_checked(const char *path, struct file_map *map, struct header *header, struct err *err)
{
	enum status status = file_map_open(path, map, err);
	uint64_t checksum;

	if (status != STATUS_OK)
		return status;
	const char *problem = NULL;
	if (map->size < sizeof *header + CHECKSUM) {
		problem = "it is too short";
	} else {
		memcpy(header, map->data, sizeof *header);
		memcpy(&checksum, map->data + map->size - CHECKSUM, CHECKSUM);
		size_t room = map->size - sizeof *header - CHECKSUM;
		if (memcmp(header->magic, magic, sizeof magic) != 0)
			problem = "it is no training state";
		else if (header->version != VERSION)
			problem = "it was written by another version of this program";
		else if (header->size != map->size)
			problem = "it is cut off, or something follows it";
		else if (checksum != XXH3_64bits(map->data, map->size - CHECKSUM))
			problem = "its checksum does not match: it is damaged";
		else if (header->note_size > room || header->floats > room / (ROWS * sizeof(float)) ||
			 room != header->note_size + padding(header->note_size) + ROWS * header->floats * sizeof(float))
			problem = "its sizes contradict each other";
	}
	if (!problem)
		return STATUS_OK;
	file_map_close(map);
	return err_set(err, STATUS_FORMAT, "cannot resume from '%s': %s", path, problem);
}

enum status train_state_note(const char *path, char **note, size_t *size, struct err *err)
{
	struct file_map map;
	struct header header;
	enum status status = open_checked(path, &map, &header, err);

	*note = NULL;
	if (status != STATUS_OK)
		return status;
	*size = header.note_size;
	*note = mem_copy(map.data + sizeof header, header.note_size);
	file_map_close(&map);
	return *note ? STATUS_OK : err_memory(err, "a training state");
}

enum status train_state_read(const char *path, struct train_state *state, struct parameters *p, struct err *err)
{
	struct file_map map;
	struct header header;
	uint64_t config;
	float *rows[ROWS] = {p->value, p->first, p->second, p->average};
	enum status status = open_checked(path, &map, &header, err);

	if (status != STATUS_OK)
		return status;
	if (!digest_of(&p->config, &config)) {
		status = err_memory(err, "a training state");
	} else if (header.config != config || header.floats != p->floats) {
		status = err_set(err, STATUS_FORMAT, "cannot resume from '%s': it belongs to another configuration than the one beside it",
				 path);
	} else {
		const uint8_t *from = map.data + sizeof header + header.note_size + padding(header.note_size);
		for (int r = 0; r < ROWS; r++)
			memcpy(rows[r], from + (size_t)r * p->floats * sizeof(float), p->floats * sizeof(float));
		*state = (struct train_state){.step = header.step, .seed = header.seed, .data = header.data,
					      .place = {header.epoch, header.offset}};
	}
	file_map_close(&map);
	return status;
}
