/* checkpoint.c: tests of model/files/checkpoint.c and its readers. Hostile files are built here, byte by byte. */
#include "model/files/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "tests/support.h"

#include "schema/base/banned.h"

#define FOLDER "tests/data/checkpoint/"
#define LITERAL(text) text, sizeof(text) - 1

static void assert_opens(const char *path, struct checkpoint **checkpoint)
{
	struct err err;
	assert_ok(checkpoint_open(path, checkpoint, &err), &err);
}

static void assert_refused(const char *path, enum status status, const char *what)
{
	struct checkpoint *checkpoint;
	struct err err = {0};

	enum status got = checkpoint_open(path, &checkpoint, &err);
	if (got != status || !strstr(err.text, what))
		fail_msg("wanted status %d and '%s', got %d and '%s'", status, what, got, got ? err.text : "");
	assert_null(checkpoint);
}

/* Valid until the next call: thousands of files are made here, one after the other in one folder. */
static const char *write_buffer(struct buffer *b, const char *name)
{
	static const char *folder;
	static char path[512];

	if (!folder)
		folder = test_folder();
	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_false(b->failed);
	test_write(path, b->data, b->size);
	buffer_release(b);
	return path;
}

/* ---- equal weights in every format ---- */

/* Every tensor of a is in b with its shape, its values equal within tolerance. */
static void assert_same_tensors(const char *a_path, const char *b_path, float tolerance)
{
	struct checkpoint *a, *b;
	struct err err;

	assert_opens(a_path, &a);
	assert_opens(b_path, &b);
	assert_int_equal(checkpoint_count(a), checkpoint_count(b));
	for (size_t i = 0; i < checkpoint_count(a); i++) {
		const struct tensor *s = checkpoint_at(a, i), *t = checkpoint_find(b, s->name);
		assert_non_null(t);
		assert_int_equal(s->dims, t->dims);
		assert_memory_equal(s->shape, t->shape, (size_t)s->dims * sizeof *s->shape);
		float *x = mem_floats(s->count), *y = mem_floats(t->count);
		assert_ok(tensor_floats(s, x, &err), &err);
		assert_ok(tensor_floats(t, y, &err), &err);
		for (size_t j = 0; j < s->count; j++)
			if (!(fabsf(x[j] - y[j]) <= tolerance * (1 + fabsf(x[j]))))
				fail_msg("%s[%zu] is %.9g and %.9g", s->name, j, (double)x[j], (double)y[j]);
		free(x);
		free(y);
	}
	checkpoint_close(a);
	checkpoint_close(b);
}

static void a_bin_equals_its_safetensors(void **state)
{
	(void)state;
	assert_same_tensors(FOLDER "open_clip_model.safetensors", FOLDER "open_clip_pytorch_model.bin", 0);
}

static void a_training_checkpoint_equals_its_safetensors(void **state)
{
	(void)state;
	assert_same_tensors(FOLDER "open_clip_model.safetensors", FOLDER "epoch_3.pt", 0);
}

static void half_storages_round_as_expected(void **state)
{
	(void)state;
	struct checkpoint *half;

	assert_same_tensors(FOLDER "open_clip_model.safetensors", FOLDER "half.pt", 1e-3f);
	assert_opens(FOLDER "half.pt", &half);
	assert_int_equal(checkpoint_find(half, "visual.proj")->dtype, DTYPE_F16);
	checkpoint_close(half);
}

static void files_of_torch_itself_equal_their_safetensors(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		float tolerance;
	} files[] = {{"open_clip_pytorch_model.bin", 0}, {"epoch_3.pt", 0}, {"half.pt", 1e-3f},
		     {"open_clip_model.f16.safetensors", 1e-3f}, {"open_clip_model.bf16.safetensors", 8e-3f}};
	const char *folder = test_shared("reference/tiny");

	if (!folder)
		skip();
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		assert_same_tensors(test_path(folder, "open_clip_model.safetensors"), test_path(folder, files[i].name), files[i].tolerance);
}

/* ---- writing ---- */

static void what_is_written_reads_back(void **state)
{
	(void)state;
	static const float scalar = 2.5f, matrix[6] = {0, -1, 1e-8f, 65504, 3.14159265f, -0.0f};
	const struct named_floats tensors[] = {{"a \"quoted\" scale", 0, {0}, .data = &scalar}, {"m", 2, {2, 3}, .data = matrix}, {"empty", 1, {0}, .data = matrix}};
	const char *path = test_path(test_folder(), "w.safetensors");
	struct checkpoint *c;
	struct err err;

	assert_ok(checkpoint_write(path, tensors, 3, DTYPE_F32, NULL, 0, &err), &err);
	assert_opens(path, &c);
	assert_string_equal(checkpoint_path(c), path);
	assert_int_equal(checkpoint_count(c), 3);
	const struct tensor *t = checkpoint_find(c, "m");
	assert_non_null(t);
	assert_int_equal(t->shape[0] * 10 + t->shape[1], 23);
	assert_memory_equal(t->data, matrix, sizeof matrix);
	assert_int_equal((uintptr_t)t->data % 4, 0);
	assert_int_equal(checkpoint_find(c, "a \"quoted\" scale")->count, 1);
	assert_int_equal(checkpoint_find(c, "empty")->count, 0);
	assert_null(checkpoint_find(c, "n"));
	checkpoint_close(c);
}

static void halves_are_rounded_to_nearest(void **state)
{
	(void)state;
	enum { COUNT = 8195 }; /* more than a chunk, and no multiple of the vector's width */
	float *values = mem_floats(COUNT), *back = mem_floats(COUNT);
	uint64_t random = 7;
	const char *path = test_path(test_folder(), "h.safetensors");
	struct checkpoint *c;
	struct err err;

	for (size_t i = 0; i < COUNT; i++)
		values[i] = test_uniform(&random);
	assert_ok(checkpoint_write(path, &(struct named_floats){"v", 1, {COUNT}, .data = values}, 1, DTYPE_F16, NULL, 0, &err), &err);
	assert_opens(path, &c);
	assert_ok(tensor_floats(checkpoint_at(c, 0), back, &err), &err);
	assert_true(test_close("halves", values, back, COUNT, 0.5f / 2048));
	checkpoint_close(c);
	free(values);
	free(back);
}

static void what_no_half_can_hold_is_not_written(void **state)
{
	(void)state;
	static const float large = 70000;
	const char *path = test_path(test_folder(), "large.safetensors");
	struct err err;

	assert_int_equal(checkpoint_write(path, &(struct named_floats){"v", 0, {0}, .data = &large}, 1, DTYPE_F16, NULL, 0, &err), STATUS_FORMAT);
	assert_non_null(strstr(err.text, "'v' holds 70000"));
	assert_int_equal(access(path, F_OK), -1);
}

/* ---- safetensors that lie ---- */

static const char *safetensors(const char *header, uint64_t size, size_t data)
{
	static const char zeros[256];
	struct buffer b = {0};

	buffer_append(&b, &size, sizeof size);
	buffer_text(&b, header);
	buffer_append(&b, zeros, data);
	return write_buffer(&b, "x.safetensors");
}

static void assert_header_refused(const char *header, size_t data, enum status status, const char *what)
{
	assert_refused(safetensors(header, strlen(header), data), status, what);
}

static void lying_headers_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *header;
		size_t data;
		const char *what;
	} cases[] = {
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
		 "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "overlaps"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "a hole of 4 bytes lies before 'a'"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "4 bytes at the end"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "'a' ends at byte 8"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "the shape of 'a'"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0, "the shape of 'a'"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, "'a' has no shape"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8, "'a' has no shape"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, "'a' has no shape"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "'a' has no shape"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "'a' has no two data_offsets"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,1e300]}}", 8, "'a' has no two data_offsets"},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "'a' has no two data_offsets"},
		{"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'a' has no dtype"},
		{"{\"a\":7}", 0, "'a' has no dtype"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		 "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4, "two tensors 'a'"},
		{"{\"a\":", 0, "not JSON"},
		{"{}x", 0, "not JSON"},
		{"[{}]", 0, "neither safetensors"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_header_refused(cases[i].header, cases[i].data, STATUS_FORMAT, cases[i].what);
	assert_header_refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, STATUS_UNSUPPORTED, "unknown dtype 'F4'");
}

static void header_sizes_beyond_the_file_are_refused(void **state)
{
	(void)state;
	assert_refused(safetensors("{}", 9000000, 0), STATUS_FORMAT, "its header says 9000000 bytes, the file has 10");
	assert_refused(safetensors("{}", UINT64_MAX, 0), STATUS_FORMAT, "its header says");
	assert_refused(safetensors("{}", UINT64_MAX - 7, 0), STATUS_FORMAT, "its header says");
}

static void metadata_and_padding_are_allowed(void **state)
{
	(void)state;
	const char *header = "{\"__metadata__\":{\"format\":\"pt\"},\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}   ";
	struct checkpoint *c;
	struct err err;
	float value;

	assert_opens(safetensors(header, strlen(header), 8), &c);
	assert_int_equal(checkpoint_count(c), 1);
	assert_int_equal(tensor_floats(checkpoint_at(c, 0), &value, &err), STATUS_UNSUPPORTED);
	assert_non_null(strstr(err.text, "'i' is of the type I64"));
	checkpoint_close(c);
}

static void other_files_are_named_for_what_they_are(void **state)
{
	(void)state;
	struct buffer b = {0};

	assert_refused(FOLDER "none.bin", STATUS_NOT_FOUND, "none.bin");
	buffer_append(&b, LITERAL("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."));
	assert_refused(write_buffer(&b, "old.pt"), STATUS_UNSUPPORTED, "old format");
	buffer_text(&b, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n");
	assert_refused(write_buffer(&b, "lfs.bin"), STATUS_FORMAT, "Git LFS");
	buffer_text(&b, "<!DOCTYPE html><html></html>");
	assert_refused(write_buffer(&b, "page.bin"), STATUS_FORMAT, "neither safetensors nor a zip");
	buffer_text(&b, "");
	assert_refused(write_buffer(&b, "empty.bin"), STATUS_FORMAT, "0 bytes");
}

/* ---- torch files that lie ---- */

struct archive {
	struct buffer file, directory;
	size_t count;
	int method; /* 0: stored */
	bool zip64; /* sizes and offset of the directory stand in the extra field */
};

static void put(struct buffer *b, uint64_t value, size_t bytes)
{
	buffer_append(b, &value, bytes);
}

static void add_member(struct archive *a, const char *name, const void *data, size_t size)
{
	size_t offset = a->file.size, length = strlen(name);
	uint32_t crc = (uint32_t)crc32(0, data, (uInt)size);

	buffer_append(&a->file, LITERAL("PK\3\4\0\0\0\0"));
	put(&a->file, (uint64_t)a->method, 2);
	put(&a->file, 0, 4);
	put(&a->file, crc, 4);
	put(&a->file, size, 4);
	put(&a->file, size, 4);
	put(&a->file, length, 2);
	put(&a->file, 0, 2);
	buffer_text(&a->file, name);
	buffer_append(&a->file, data, size);
	buffer_append(&a->directory, LITERAL("PK\1\2\0\0\0\0\0\0"));
	put(&a->directory, (uint64_t)a->method, 2);
	put(&a->directory, 0, 4);
	put(&a->directory, crc, 4);
	put(&a->directory, a->zip64 ? UINT32_MAX : size, 4);
	put(&a->directory, a->zip64 ? UINT32_MAX : size, 4);
	put(&a->directory, length, 2);
	put(&a->directory, a->zip64 ? 34 : 0, 2);
	put(&a->directory, 0, 8);
	put(&a->directory, 0, 2);
	put(&a->directory, a->zip64 ? UINT32_MAX : offset, 4);
	buffer_text(&a->directory, name);
	if (a->zip64) {
		buffer_append(&a->directory, LITERAL("FB\2\0zz\1\0\30\0")); /* another field comes first */
		put(&a->directory, size, 8);
		put(&a->directory, size, 8);
		put(&a->directory, offset, 8);
	}
	a->count++;
}

static const char *finish(struct archive *a)
{
	size_t offset = a->file.size;

	buffer_append(&a->file, a->directory.data, a->directory.size);
	buffer_append(&a->file, LITERAL("PK\5\6\0\0\0\0"));
	put(&a->file, a->count, 2);
	put(&a->file, a->count, 2);
	put(&a->file, a->directory.size, 4);
	put(&a->file, offset, 4);
	put(&a->file, 0, 2);
	buffer_release(&a->directory);
	return write_buffer(&a->file, "x.pt");
}

/* A file whose data.pkl is this, beside two storages: "0" of 24 zero bytes and "1" of 4. */
static const char *torch_file(const void *pickle, size_t size)
{
	static const char zeros[24];
	struct archive a = {0};

	add_member(&a, "x/data.pkl", pickle, size);
	add_member(&a, "x/data/0", zeros, 24);
	add_member(&a, "x/data/1", zeros, 4);
	return finish(&a);
}

#define STORAGE(key, elements) "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" key "X\3\0\0\0cpuK" elements "tQ"
#define TENSOR(key, elements, offset, size, stride) \
	"ctorch._utils\n_rebuild_tensor_v2\n" STORAGE(key, elements) "K" offset size stride "\x89" "ccollections\nOrderedDict\n)RtR"
#define DICT(value) "\x80\2}X\1\0\0\0w" value "s."
#define TWO_BY_THREE "K\2K\3\x86"
#define ROWS "K\3K\1\x86" /* their strides */
#define TENSOR_AT(offset) \
	"ctorch._utils\n_rebuild_tensor_v2\n" STORAGE("0", "\6") offset "K\1\x85" "K\1\x85" "\x89" "ccollections\nOrderedDict\n)RtR"
#define GOOD DICT(TENSOR("0", "\6", "\0", TWO_BY_THREE, ROWS))

static void a_small_torch_file_is_read(void **state)
{
	(void)state;
	struct checkpoint *c;

	assert_opens(torch_file(LITERAL(GOOD)), &c);
	assert_int_equal(checkpoint_count(c), 1);
	const struct tensor *t = checkpoint_find(c, "w");
	assert_non_null(t);
	assert_int_equal(t->dims, 2);
	assert_int_equal(t->size, 24);
	checkpoint_close(c);
}

static void tensors_beyond_their_storage_are_refused(void **state)
{
	(void)state;
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\6", "\1", TWO_BY_THREE, ROWS)))), STATUS_FORMAT, "reaches beyond");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\6", "\0", "K\2K\4\x86", "K\4K\1\x86")))), STATUS_FORMAT, "reaches beyond");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\7", "\0", TWO_BY_THREE, ROWS)))), STATUS_FORMAT, "missing or of another size");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("2", "\6", "\0", TWO_BY_THREE, ROWS)))), STATUS_FORMAT, "missing or of another size");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\6", "\0", "J\377\377\377\377K\3\x86", ROWS)))), STATUS_FORMAT, "no proper shape");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\6", "\0", "J\377\377\377\177J\377\377\377\177\x86", "J\377\377\377\177K\1\x86")))),
		       STATUS_FORMAT, "reaches beyond");
}

/* LONG1: bytes of an integer, the lowest first, the last one's highest bit being the sign. */
static void long_integers_keep_their_sign(void **state)
{
	(void)state;
	struct checkpoint *c;

	assert_opens(torch_file(LITERAL(DICT(TENSOR_AT("\x8a\1\5")))), &c);
	checkpoint_close(c);
	assert_opens(torch_file(LITERAL(DICT(TENSOR_AT("\x8a\2\5\0")))), &c);
	checkpoint_close(c);
	assert_refused(torch_file(LITERAL(DICT(TENSOR_AT("\x8a\1@")))), STATUS_FORMAT, "reaches beyond"); /* 64 of 6 */
	assert_refused(torch_file(LITERAL(DICT(TENSOR_AT("\x8a\1\xff")))), STATUS_FORMAT, "no proper shape");
}

static void a_tensor_that_is_not_stored_row_by_row_is_refused(void **state)
{
	(void)state;
	assert_refused(torch_file(LITERAL(DICT(TENSOR("0", "\6", "\0", TWO_BY_THREE, "K\1K\2\x86")))), STATUS_UNSUPPORTED,
		       "not stored row by row");
	assert_refused(torch_file(LITERAL(DICT(TENSOR("1", "\1", "\0", TWO_BY_THREE, "K\0K\0\x86")))), STATUS_UNSUPPORTED,
		       "not stored row by row");
}

static void any_other_global_is_refused_by_name(void **state)
{
	(void)state;
	assert_refused(torch_file(LITERAL("\x80\2cos\nsystem\n(X\2\0\0\0lstR.")), STATUS_UNSUPPORTED, "'os.system'");
	assert_refused(torch_file(LITERAL("\x80\2c__builtin__\neval\n(X\1\0\0\0" "1tR.")), STATUS_UNSUPPORTED, "'__builtin__.eval'");
	assert_refused(torch_file(LITERAL("\x80\2}X\1\0\0\0wcargparse\nNamespace\n)\x81s.")), STATUS_UNSUPPORTED, "'argparse.Namespace'");
	assert_refused(torch_file(LITERAL("\x80\2ctorch\nload\n.")), STATUS_UNSUPPORTED, "'torch.load'");
}

static void every_other_opcode_is_refused(void **state)
{
	(void)state;
	static const char known[] = "(.NGKJMX)]}taesuqrhjcRbQ\x80\x85\x86\x87\x88\x89\x8a";
	uint8_t pickle[] = {0x80, 2, 0, '.'};

	for (int opcode = 0; opcode < 256; opcode++) {
		if (memchr(known, opcode, sizeof known - 1))
			continue;
		pickle[2] = (uint8_t)opcode;
		assert_refused(torch_file(pickle, sizeof pickle), STATUS_UNSUPPORTED, "opcode");
	}
	assert_refused(torch_file(LITERAL("\x80\4.")), STATUS_UNSUPPORTED, "protocol 4");
}

static void pickles_that_misuse_the_machine_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t size;
		const char *what;
	} cases[] = {
		{LITERAL("\x80\2."), "empty stack"}, {LITERAL("\x80\2}"), "ends early"}, {LITERAL(""), "ends early"},
		{LITERAL("\x80\2h\0."), "recalls"}, {LITERAL("\x80\2}q\0h\1."), "recalls"}, {LITERAL("\x80\2t."), "lacks a mark"},
		{LITERAL("\x80\2(."), "empty stack"}, {LITERAL("\x80\2(s."), "empty stack"}, {LITERAL("\x80\2K\1K\1K\1s."), "no container"},
		{LITERAL("\x80\2}(K\1u."), "no container"}, {LITERAL("\x80\2](K\1u."), "no container"}, {LITERAL("\x80\2K\1)R."), "no function"},
		{LITERAL("\x80\2ctorch\nFloatStorage\n)R."), "no function"}, {LITERAL("\x80\2K\1Q."), "no storage"},
		{LITERAL("\x80\2X\377\377\377\377w."), "ends early"}, {LITERAL("\x80\2cos"), "ends early"},
		{LITERAL("\x80\2ctorch._utils\n_rebuild_parameter\n)R."), "wrong arguments"}, {LITERAL("\x80\2X\1\0\0\0wNb."), "attributes"},
		{LITERAL("\x80\2}."), "no dictionary of tensors"}, {LITERAL("\x80\2K\1."), "no dictionary of tensors"},
		{LITERAL(DICT("ctorch._utils\n_rebuild_tensor_v2\n)R")), "no proper shape"},
		{LITERAL(DICT("ctorch._utils\n_rebuild_tensor_v2\n(K\1K\0))tR")), "missing or of another size"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_refused(torch_file(cases[i].bytes, cases[i].size), STATUS_FORMAT, cases[i].what);
}

static void hostile_pickles_exhaust_nothing(void **state)
{
	(void)state;
	struct buffer b = {0};

	/* a memo far away */
	assert_refused(torch_file(LITERAL("\x80\2}r\377\377\377\377.")), STATUS_MEMORY, "more memory");
	/* dictionaries without end on the stack */
	buffer_append(&b, LITERAL("\x80\2"));
	for (size_t i = 0; i < 2000000; i++)
		buffer_append(&b, "}", 1);
	assert_refused(torch_file(b.data, b.size), STATUS_MEMORY, "more memory");
	buffer_release(&b);
	/* a thousand tuples, each twice in the next: 2^1000 if anyone walked it */
	buffer_append(&b, LITERAL("\x80\2)q\0"));
	for (size_t i = 0; i < 1000; i++)
		buffer_append(&b, LITERAL("h\0\x86q\0"));
	buffer_append(&b, ".", 1);
	assert_refused(torch_file(b.data, b.size), STATUS_FORMAT, "no dictionary");
	buffer_release(&b);
	/* a dictionary that holds itself */
	assert_refused(torch_file(LITERAL("\x80\2}q\0X\12\0\0\0state_dicth\0s.")), STATUS_FORMAT, "no dictionary");
}

static void sizes_of_64_bits_are_read(void **state)
{
	(void)state;
	static const char zeros[24];
	struct archive a = {.zip64 = true};
	struct checkpoint *c;

	add_member(&a, "x/data.pkl", LITERAL(GOOD));
	add_member(&a, "x/data/0", zeros, 24);
	assert_opens(finish(&a), &c);
	assert_int_equal(checkpoint_at(c, 0)->size, 24);
	checkpoint_close(c);
}

static void members_that_are_compressed_are_refused(void **state)
{
	(void)state;
	struct archive a = {.method = 8};

	add_member(&a, "x/data.pkl", LITERAL(GOOD));
	assert_refused(finish(&a), STATUS_UNSUPPORTED, "'x/data.pkl' is compressed");
}

static void archives_of_other_things_are_refused(void **state)
{
	(void)state;
	struct archive a = {0};

	add_member(&a, "word/document.xml", LITERAL("<x/>"));
	assert_refused(finish(&a), STATUS_FORMAT, "no data.pkl");
	a = (struct archive){0};
	add_member(&a, "x/data.pkl", LITERAL(GOOD));
	add_member(&a, "x/byteorder", LITERAL("big"));
	assert_refused(finish(&a), STATUS_UNSUPPORTED, "byte order is 'big'");
	a = (struct archive){0};
	add_member(&a, "x/data.pkl", LITERAL(GOOD));
	add_member(&a, "x/data.pkl", LITERAL(GOOD));
	assert_refused(finish(&a), STATUS_FORMAT, "two members 'x/data.pkl'");
}

/* ---- damage ---- */

/* Opens, and whatever opened, touches all its bytes. */
static bool opens(const char *path)
{
	struct checkpoint *c;
	struct err err;
	unsigned sum = 0;

	if (checkpoint_open(path, &c, &err) != STATUS_OK)
		return false;
	for (size_t i = 0; i < checkpoint_count(c); i++)
		for (size_t j = 0; j < checkpoint_at(c, i)->size; j++)
			sum += ((const uint8_t *)checkpoint_at(c, i)->data)[j];
	checkpoint_close(c);
	return sum <= UINT32_MAX;
}

static const char *small_safetensors(void)
{
	static const float values[6] = {1, 2, 3, 4, 5, 6};
	const struct named_floats tensors[] = {{"a", 2, {2, 2}, .data = values}, {"b", 1, {2}, .data = values + 4}};
	const char *path = test_path(test_folder(), "small.safetensors");
	struct err err;

	assert_ok(checkpoint_write(path, tensors, 2, DTYPE_F32, NULL, 0, &err), &err);
	return path;
}

static void assert_no_prefix_opens(const char *path, size_t step)
{
	struct file_map map;
	struct err err;

	assert_ok(file_map_open(path, &map, &err), &err);
	size_t size = map.size;
	file_map_close(&map);
	assert_true(opens(path));
	while (size > 0) {
		size -= size < step ? size : step;
		assert_int_equal(truncate(path, (off_t)size), 0);
		if (opens(path))
			fail_msg("opens when cut to %zu bytes", size);
	}
}

static void a_truncated_file_never_opens(void **state)
{
	(void)state;
	static const char *const files[] = {"open_clip_model.safetensors", "open_clip_pytorch_model.bin", "epoch_3.pt"};
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_no_prefix_opens(small_safetensors(), 1);
	assert_no_prefix_opens(torch_file(LITERAL(GOOD)), 1);
	for (size_t i = 0; i < 3; i++) {
		assert_ok(file_read(test_path(FOLDER, files[i]), SIZE_MAX, &bytes, &size, &err), &err);
		const char *copy = test_path(test_folder(), files[i]);
		test_write(copy, bytes, size);
		free(bytes);
		assert_no_prefix_opens(copy, 97);
	}
}

/* Each byte in turn is changed in several ways; the file may open or not, but nothing is read outside it. */
static void flip_each_byte(const char *path)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	uint8_t *bytes;
	size_t size;
	struct err err;

	assert_ok(file_read(path, SIZE_MAX, &bytes, &size, &err), &err);
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0);
	for (size_t i = 0; i < size; i++) {
		for (size_t k = 0; k < sizeof flips; k++) {
			assert_int_equal(fseek(f, (long)i, SEEK_SET), 0);
			fputc(bytes[i] ^ flips[k], f);
			opens(path);
		}
		assert_int_equal(fseek(f, (long)i, SEEK_SET), 0);
		fputc(bytes[i], f);
	}
	fclose(f);
	free(bytes);
	assert_true(opens(path));
}

static void flipped_bytes_never_crash(void **state)
{
	(void)state;
	flip_each_byte(small_safetensors());
	flip_each_byte(torch_file(LITERAL(GOOD)));
}

/* The same inside the pickle, with a checksum that is right, so that the machine sees the damage. */
static void flipped_bytes_of_a_pickle_never_crash(void **state)
{
	(void)state;
	char pickle[sizeof GOOD - 1];

	for (size_t i = 0; i < sizeof pickle; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(pickle, GOOD, sizeof pickle);
			pickle[i] ^= (char)(1 << bit);
			opens(torch_file(pickle, sizeof pickle));
		}
	}
}

TEST_MAIN(cmocka_unit_test(a_bin_equals_its_safetensors), cmocka_unit_test(a_training_checkpoint_equals_its_safetensors),
	  cmocka_unit_test(half_storages_round_as_expected), cmocka_unit_test(what_is_written_reads_back),
	  cmocka_unit_test(halves_are_rounded_to_nearest), cmocka_unit_test(what_no_half_can_hold_is_not_written),
	  cmocka_unit_test(lying_headers_are_refused), cmocka_unit_test(header_sizes_beyond_the_file_are_refused),
	  cmocka_unit_test(metadata_and_padding_are_allowed), cmocka_unit_test(other_files_are_named_for_what_they_are),
	  cmocka_unit_test(a_small_torch_file_is_read), cmocka_unit_test(tensors_beyond_their_storage_are_refused),
	  cmocka_unit_test(long_integers_keep_their_sign), cmocka_unit_test(a_tensor_that_is_not_stored_row_by_row_is_refused), cmocka_unit_test(any_other_global_is_refused_by_name),
	  cmocka_unit_test(every_other_opcode_is_refused), cmocka_unit_test(pickles_that_misuse_the_machine_are_refused),
	  cmocka_unit_test(hostile_pickles_exhaust_nothing),
	  cmocka_unit_test(sizes_of_64_bits_are_read), cmocka_unit_test(members_that_are_compressed_are_refused),
	  cmocka_unit_test(archives_of_other_things_are_refused), cmocka_unit_test(a_truncated_file_never_opens),
	  cmocka_unit_test(flipped_bytes_never_crash), cmocka_unit_test(flipped_bytes_of_a_pickle_never_crash),
	  cmocka_unit_test(files_of_torch_itself_equal_their_safetensors))
