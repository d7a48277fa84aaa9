/* made_up.h: libraries of any size whose photographs never were: rows, embeddings and texts as a real library has them, and for each row an
 * empty file of that name, size and time.
 *
 *     struct made_up m = {.database = "/tmp/x/library.db", .folder = "/tmp/x/photos", .photos = 100000, .files = true};
 *     made_up_make(&m, &model, err);           // model: a row of catalog_model_put, of whatever digests and size
 *
 * Same number, same library. Embeddings lie as a model's do: all within one cone, in it topics, in a topic the days that a folder
 * holds. Of the photographs 2 % are copies of another one, 1 % look like their neighbour, 40 % have a position (near 60 places), 90 % a date,
 * 10 % a text.
 */
#ifndef TESTS_MADE_UP_H
#define TESTS_MADE_UP_H

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "indexer/facts/facts.h"
#include "schema/catalog/catalog.h"
#include "schema/catalog/contents.h"
#include "schema/catalog/models.h"
#include "schema/catalog/photos.h"
#include "schema/catalog/texts.h"
#include "schema/catalog/facts.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

/* MADE_UP_FOLDER: photographs in a folder; MADE_UP_COMMIT: in a transaction. */
enum { MADE_UP_FOLDER = 250, MADE_UP_YEARS = 20, MADE_UP_PLACES = 60, MADE_UP_TOPICS = 400, MADE_UP_COMMIT = 20000 };

struct made_up {
	const char *database, *folder; /* the folder is absolute, without links */
	size_t photos;
	bool files;                    /* else rows alone */
	void (*tick)(size_t done, size_t all); /* may be NULL */

	struct catalog *catalog;       /* made_up_make's own from here on */
	const struct catalog_model *model;
	int64_t root, last_content;
	float *topics, *day, *vector;  /* [TOPICS,D] [D] [D] */
	int at;                        /* descriptor of the folder that is being filled */
};

static const char *const made_up_cameras[][2] = {
	{"Apple iPhone 6s", "iPhone 6s back camera 4.15mm f/2.2"}, {"Apple iPhone 12", "iPhone 12 back camera 4.2mm f/1.6"},
	{"Canon EOS 5D Mark III", "EF24-105mm f/4L IS USM"}, {"Canon EOS 5D Mark III", "EF50mm f/1.4 USM"},
	{"SONY ILCE-7M3", "FE 28-70mm F3.5-5.6 OSS"},
	{"NIKON D750", "24.0-120.0 mm f/4.0"}, {"samsung SM-G991B", NULL}, {"FUJIFILM X-T3", "XF35mmF1.4 R"}, {"OLYMPUS E-M10", NULL},
	{"Panasonic DMC-LX100", NULL}, {"Google Pixel 5", "Pixel 5 back camera 4.38mm f/1.73"}, {"HUAWEI P20", NULL},
};
static const char *const made_up_words[] = {
	"dog", "beach", "snow", "birthday", "cake", "mountain", "river", "child", "garden", "cat", "sunset", "boat", "street", "market",
	"friends", "train", "bridge", "forest", "kitchen", "party", "church", "horse", "flowers", "rain", "window", "bicycle", "football", "castle",
	"lake", "museum",
};
static const char *const made_up_folders[] = {"Holiday", "Birthday", "Weekend", "Phone", "Hike", "Garden", "Family", "Concert"};

static inline float made_up_deviate(uint64_t *state)
{
	uint64_t bits = test_random(state);
	float sum = 0;

	for (int i = 0; i < 4; i++)
		sum += (float)(bits >> (16 * i) & 0xffff) / 65536.0f - 0.5f;
	return sum * 1.7320508f;
}

/* y[D] = normalised x[D] + weight x noise of length 1 */
static inline void made_up_near(const float *x, float weight, uint64_t seed, float *y, size_t dim)
{
	double square = 0;

	for (size_t i = 0; i < dim; i++) {
		y[i] = (x ? x[i] : 0) + weight * made_up_deviate(&seed) / sqrtf((float)dim);
		square += (double)y[i] * (double)y[i];
	}
	for (size_t i = 0; i < dim; i++)
		y[i] /= (float)sqrt(square);
}

static inline uint64_t made_up_seed(uint64_t kind, uint64_t number)
{
	uint64_t state = kind << 48 ^ number;

	return test_random(&state);
}

/* "/2014/2014-05-12 Holiday", which is folder `number` of `all`. The years have their folders in order. */
static inline void made_up_day(size_t number, size_t all, char name[96], int64_t *taken)
{
	uint64_t state = made_up_seed(1, number);
	size_t year = number * MADE_UP_YEARS / all, first = (year * all + MADE_UP_YEARS - 1) / MADE_UP_YEARS;
	size_t next = ((year + 1) * all + MADE_UP_YEARS - 1) / MADE_UP_YEARS, day = (number - first) * 360 / (next - first);

	*taken = (int64_t)(year + 35) * 31556952 + (int64_t)day * 86400;
	snprintf(name, 96, "/%zu/%zu-%02zu-%02zu %s %zu", 2005 + year, 2005 + year, 1 + day / 30, 1 + day % 30,
		 made_up_folders[test_random(&state) % 8], number);
}

static inline enum status made_up_file(struct made_up *m, const char *name, struct stat *st, struct err *err)
{
	*st = (struct stat){.st_mtim = {1500000000, 0}, .st_ctim = {1500000000, 0}};
	if (!m->files)
		return STATUS_OK;
	int fd = openat(m->at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool made = fd >= 0 && fstat(fd, st) == 0;
	if (fd >= 0)
		close(fd);
	return made ? STATUS_OK : err_set(err, STATUS_IO, "cannot make '%s'", name);
}

static inline enum status made_up_content(struct made_up *m, size_t i, int64_t *content, struct err *err)
{
	uint64_t seed = made_up_seed(2, i), kind = seed % 100;
	uint8_t hash[CATALOG_HASH];

	*content = m->last_content;
	if (kind < 2 && m->last_content)
		return STATUS_OK;
	memcpy(hash, &seed, sizeof seed);
	seed = made_up_seed(3, i);
	memcpy(hash + sizeof seed, &seed, sizeof seed);
	enum status status = catalog_content_put(m->catalog, hash, content, err);
	bool near = kind == 2 && m->last_content;
	if (near)
		made_up_near(m->vector, 0.1f, seed, m->vector, (size_t)m->model->dim);
	else
		made_up_near(m->day, 0.7f, seed, m->vector, (size_t)m->model->dim);
	m->last_content = *content;
	if (status == STATUS_OK)
		status = catalog_embedding_put(m->catalog, *content, m->model->id, m->vector, (size_t)m->model->dim, err);
	return status == STATUS_OK ? catalog_hash_put(m->catalog, *content, near ? made_up_seed(3, i - 1) ^ 5 : seed, err) : status;
}

static inline enum status made_up_text(struct made_up *m, int64_t photo, int64_t content, uint64_t seed, struct err *err)
{
	enum { WORDS = sizeof made_up_words / sizeof *made_up_words };
	char text[128];
	int n = snprintf(text, sizeof text, "A %s and a %s, number %zu", made_up_words[seed % WORDS], made_up_words[seed / WORDS % WORDS],
			 (size_t)(seed >> 16) % 1000);
	struct catalog_fact fact = {"description", text, (size_t)n};
	struct catalog_text known = {.collection = fact.collection, .photo_content = content, .text = text, .text_size = fact.text_size};
	float *embedding = mem_floats((size_t)m->model->dim);
	enum status status = embedding ? catalog_facts_put(m->catalog, photo, content, FACTS_VERSION, &fact, 1, err) : err_memory(err, "a text");

	if (status == STATUS_OK)
		status = catalog_text_put(m->catalog, &known, err);
	if (status == STATUS_OK) {
		made_up_near(m->vector, 1.5f, seed, embedding, (size_t)m->model->dim);
		status = catalog_text_embedding_put(m->catalog, known.id, m->model->id, embedding, (size_t)m->model->dim, err);
	}
	free(embedding);
	return status;
}

static inline enum status made_up_photo(struct made_up *m, size_t i, const char *day, int64_t taken, struct err *err)
{
	uint64_t seed = made_up_seed(4, i), place = made_up_seed(5, made_up_seed(6, i / MADE_UP_FOLDER) % MADE_UP_PLACES);
	size_t camera = (size_t)(seed % 12 * (seed / 12 % 12) / 12), width = seed % 5 ? 4032 : 1024;
	struct buffer path = {0};
	struct stat st;
	char name[32];

	snprintf(name, sizeof name, "IMG_%07zu.%s", i, seed % 50 ? "JPG" : "png");
	buffer_format(&path, "%s%s/%s", m->folder, day, name);
	enum status status = path.failed ? err_memory(err, "a path") : made_up_file(m, name, &st, err);
	struct photo photo = {
		.root = m->root, .path = path.data, .path_size = path.size, .size = st.st_size, .state = PHOTO_READY, .format = "jpeg",
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
		.ctime_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec,
		.width = (int64_t)width, .height = (int64_t)width * 3 / 4, .orientation = 1,
		.has_taken = seed % 10 != 0, .taken_at = taken + (int64_t)(i % MADE_UP_FOLDER) * 120,
		.taken_offset = seed % 3 ? 60 : CATALOG_NO_OFFSET,
		.has_position = seed % 5 < 2,
		.latitude = -50 + (double)(place % 11000) / 100 + (double)(seed >> 20 & 1023) / 1e4,
		.longitude = -180 + (double)(place / 11000 % 36000) / 100 + (double)(seed >> 30 & 1023) / 1e4,
		.camera = made_up_cameras[camera][0], .lens = made_up_cameras[camera][1],
	};
	if (status == STATUS_OK)
		status = made_up_content(m, i, &photo.content, err);
	if (status == STATUS_OK)
		status = catalog_photo_put(m->catalog, &photo, err);
	if (status == STATUS_OK && (seed >> 40 & 1023) < 102)
		status = made_up_text(m, photo.id, photo.content, seed, err);
	else if (status == STATUS_OK)
		status = catalog_facts_put(m->catalog, photo.id, photo.content, FACTS_VERSION, NULL, 0, err);
	buffer_release(&path);
	return status;
}

/* m->at becomes the folder. */
static inline enum status made_up_enter(struct made_up *m, const char *day, size_t number, struct err *err)
{
	struct buffer path = {0};
	size_t dim = (size_t)m->model->dim, topic = made_up_seed(7, number) % MADE_UP_TOPICS;
	enum status status = STATUS_OK;

	made_up_near(m->topics + topic * dim, 0.6f, made_up_seed(8, number), m->day, dim);
	if (!m->files)
		return STATUS_OK;
	buffer_format(&path, "%s%s", m->folder, day);
	status = path.failed ? err_memory(err, "a path") : path_make_folder(path.data, err);
	if (m->at >= 0)
		close(m->at);
	m->at = status == STATUS_OK ? open(path.data, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (status == STATUS_OK && m->at < 0)
		status = err_set(err, STATUS_IO, "cannot open '%s'", path.data);
	buffer_release(&path);
	return status;
}

static inline enum status made_up_fill(struct made_up *m, struct err *err)
{
	size_t all = (m->photos + MADE_UP_FOLDER - 1) / MADE_UP_FOLDER;
	int64_t taken = 0;
	char day[96];
	enum status status = catalog_root_put(m->catalog, m->folder, &m->root, err);

	if (status == STATUS_OK)
		status = catalog_begin(m->catalog, err);
	for (size_t i = 0; i < m->photos && status == STATUS_OK; i++) {
		if (i % MADE_UP_FOLDER == 0) {
			made_up_day(i / MADE_UP_FOLDER, all, day, &taken);
			status = made_up_enter(m, day, i / MADE_UP_FOLDER, err);
		}
		if (status == STATUS_OK)
			status = made_up_photo(m, i, day, taken, err);
		if (status != STATUS_OK || i % MADE_UP_COMMIT)
			continue;
		status = catalog_commit(m->catalog, err);
		if (status == STATUS_OK)
			status = catalog_begin(m->catalog, err);
		if (m->tick)
			m->tick(i, m->photos);
	}
	return status == STATUS_OK ? catalog_commit(m->catalog, err) : status;
}

/* model->id is set. */
static inline enum status made_up_make(struct made_up *m, struct catalog_model *model, struct err *err)
{
	size_t dim = (size_t)model->dim;
	float *cone = mem_floats(dim);
	enum status status = catalog_open(m->database, CATALOG_WRITE, &m->catalog, err);

	m->model = model;
	m->at = -1;
	m->topics = mem_floats(MADE_UP_TOPICS * dim);
	m->day = mem_floats(dim);
	m->vector = mem_floats(dim);
	if (status == STATUS_OK && !(cone && m->topics && m->day && m->vector))
		status = err_memory(err, "a library");
	if (status == STATUS_OK)
		status = catalog_model_put(m->catalog, model, err);
	if (status == STATUS_OK) {
		made_up_near(NULL, 1, 1, cone, dim);
		for (size_t i = 0; i < MADE_UP_TOPICS; i++)
			made_up_near(cone, 0.9f, made_up_seed(9, i), m->topics + i * dim, dim);
		status = made_up_fill(m, err);
	}
	if (m->at >= 0)
		close(m->at);
	free(cone);
	free(m->topics);
	free(m->day);
	free(m->vector);
	catalog_close(m->catalog);
	return status;
}

/* For a group's set-up, which fails unless it is 0: a library of rows alone in a folder of its own, opened. */
static inline int made_up_open(size_t photos, int64_t dim, struct catalog_model *model, struct catalog **catalog)
{
	struct err err;
	struct made_up m = {.database = test_path(test_folder(), "library.db"), .folder = "/photos", .photos = photos};

	*model = (struct catalog_model){.config_digest = "0123456789abcdef0123456789abcdef",
					.weights_digest = "0123456789abcdef0123456789abcdef", .name = "made up", .dim = dim};
	return made_up_make(&m, model, &err) != STATUS_OK || catalog_open(m.database, CATALOG_WRITE, catalog, &err) != STATUS_OK;
}

#endif
