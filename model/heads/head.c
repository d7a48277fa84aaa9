/* head.c: see head.h. Files, and what they must be made of. How a head is read is in pass.c, how it learns in tune.c. */
#include "model/heads/head.h"

#include <cJSON.h>
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/files/checkpoint.h"
#include "model/math/ops.h"
#include "model/words/names.h"
#include "schema/base/file.h"
#include "schema/base/json.h"

#include "schema/base/banned.h"

enum { LABELS_MOST = 1 << 16, WIDTH_MOST = 1 << 16, QUERIES_MOST = 64, PARAMETERS_MOST = 24, HEAD_BYTES_MOST = 1 << 30 };

static const char *const kinds[] = {[HEAD_POOLER] = "pooler", [HEAD_LINEAR] = "linear", [HEAD_ANSWERS] = "answers"};

const char *head_kind_name(enum head_kind kind)
{
	return kinds[kind];
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* One table: names, shapes and places. */
enum status head_visit(struct head *h, weight_visitor visit, void *context, struct err *err)
{
	size_t C = h->labels_count, D = h->D, E = h->E, n = h->n;
	bool linear = h->kind == HEAD_LINEAR;
	struct {
		struct weight_info info;
		float **slot;
	} table[] = {
		{{"weight", {C, linear ? D : n * E}, 2, 0}, &h->weight},
		{{"bias", {C, 1}, 1, 0}, &h->bias},
		{{"norm.weight", {E, 1}, 1, 0}, &h->norm.weight},
		{{"norm.bias", {E, 1}, 1, 0}, &h->norm.bias},
		{{"pool.query", {n, E}, 2, 0}, &h->pool.query},
		{{"pool.ln_q.weight", {E, 1}, 1, 0}, &h->pool.ln_q.weight},
		{{"pool.ln_q.bias", {E, 1}, 1, 0}, &h->pool.ln_q.bias},
		{{"pool.ln_k.weight", {D, 1}, 1, 0}, &h->pool.ln_k.weight},
		{{"pool.ln_k.bias", {D, 1}, 1, 0}, &h->pool.ln_k.bias},
		{{"pool.attn.q_proj_weight", {E, E}, 2, 0}, &h->pool.attn.q_weight},
		{{"pool.attn.k_proj_weight", {E, D}, 2, 0}, &h->pool.attn.k_weight},
		{{"pool.attn.v_proj_weight", {E, D}, 2, 0}, &h->pool.attn.v_weight},
		{{"pool.attn.in_proj_bias", {3 * E, 1}, 1, 0}, &h->pool.attn.in_bias},
		{{"pool.attn.out_proj.weight", {E, E}, 2, 0}, &h->pool.attn.out_weight},
		{{"pool.attn.out_proj.bias", {E, 1}, 1, 0}, &h->pool.attn.out_bias},
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < (linear ? 2 : sizeof table / sizeof *table) && status == STATUS_OK; i++) {
		struct weight_info *info = &table[i].info;
		info->shape[2] = info->shape[3] = 1;
		info->count = mem_product(info->shape[0], info->shape[1]);
		status = visit(context, info, table[i].slot, err);
	}
	return status;
}

/* Counts floats in multiples of 16; gives slots their places once there is memory. */
struct placing {
	float *memory;
	size_t used;
};

static enum status place(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct placing *p = context;
	size_t size = info->count < SIZE_MAX / 64 ? (info->count + 15) / 16 * 16 : SIZE_MAX / 64;

	(void)err;
	*slot = p->memory ? p->memory + p->used : NULL;
	p->used = p->used + size < SIZE_MAX / 64 ? p->used + size : SIZE_MAX / 64;
	return STATUS_OK;
}

enum status head_init(struct head *head, enum head_kind kind, const char *const *labels, size_t count, size_t D, size_t E, size_t heads,
		      size_t n, struct err *err)
{
	struct placing placing = {0};

	*head = (struct head){.kind = kind, .D = D, .E = kind == HEAD_LINEAR ? D : E, .heads = heads, .n = kind == HEAD_LINEAR ? 0 : n,
			      .accuracy = NAN};
	head->labels = mem_array(count, sizeof *head->labels);
	if (!head->labels)
		return err_memory(err, "labels");
	for (; head->labels_count < count; head->labels_count++) {
		head->labels[head->labels_count] = mem_copy(labels[head->labels_count], strlen(labels[head->labels_count]));
		if (!head->labels[head->labels_count]) {
			head_release(head);
			return err_memory(err, "labels");
		}
	}
	head_visit(head, place, &placing, err);
	head->floats = placing.used;
	head->memory = mem_floats(head->floats);
	if (!head->memory) {
		head_release(head);
		return err_memory(err, "a head");
	}
	memset(head->memory, 0, placing.used * sizeof *head->memory);
	placing = (struct placing){head->memory, 0};
	return head_visit(head, place, &placing, err);
}

void head_release(struct head *head)
{
	for (size_t i = 0; head->labels && i < head->labels_count; i++)
		free(head->labels[i]);
	free(head->labels);
	free(head->memory);
	*head = (struct head){0};
}

/* ---- reading a file --------------------------------------------------------------------------------------------- */

static const char *need(const struct checkpoint *c, const char *key, struct err *err)
{
	const char *value = checkpoint_metadata(c, key);

	if (!value)
		err_set(err, STATUS_FORMAT, "its metadata have no '%s'", key);
	return value;
}

static enum status read_size(const struct checkpoint *c, const char *key, size_t least, size_t most, size_t *value, struct err *err)
{
	const char *text = need(c, key, err);
	char *end;

	if (!text)
		return STATUS_FORMAT;
	unsigned long long number = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || number < least || number > most)
		return err_set(err, STATUS_FORMAT, "its '%s' is '%.40s', not a number from %zu to %zu", key, text, least, most);
	*value = (size_t)number;
	return STATUS_OK;
}

static enum status read_text(const struct checkpoint *c, const char *key, char *to, size_t size, struct err *err)
{
	const char *text = need(c, key, err);

	if (!text)
		return STATUS_FORMAT;
	if (strlen(text) >= size)
		return err_set(err, STATUS_FORMAT, "its '%s' is too long", key);
	snprintf(to, size, "%s", text);
	return STATUS_OK;
}

static enum status read_digest(const struct checkpoint *c, const char *key, char digest[33], struct err *err)
{
	enum status status = read_text(c, key, digest, 33, err);

	if (status == STATUS_OK && (strlen(digest) != 32 || strspn(digest, "0123456789abcdef") != 32))
		return err_set(err, STATUS_FORMAT, "its '%s' is no digest", key);
	return status;
}

static enum status read_kind(const struct checkpoint *c, enum head_kind *kind, struct err *err)
{
	const char *version = checkpoint_metadata(c, "coca_head"), *name;

	if (!version)
		return err_set(err, STATUS_FORMAT, checkpoint_find(c, "logit_scale") ? "it is a model, not a head; hint: --model"
									    : "it is not a head of coca");
	if (strcmp(version, "1") != 0)
		return err_set(err, STATUS_UNSUPPORTED, "it is a head of version '%.20s', this program knows 1; hint: install a newer coca",
			       version);
	name = need(c, "kind", err);
	if (!name)
		return STATUS_FORMAT;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(name, kinds[i]) == 0) {
			*kind = (enum head_kind)i;
			return STATUS_OK;
		}
	return err_set(err, STATUS_UNSUPPORTED, "it is a head of the unknown kind '%.40s'; hint: install a newer coca", name);
}

/* labels points into *json. */
static enum status read_labels(const struct checkpoint *c, cJSON **json, const char ***labels, size_t *count, struct err *err)
{
	const char *text = need(c, "labels", err);
	const cJSON *item;
	size_t i = 0;

	if (!text)
		return STATUS_FORMAT;
	*json = cJSON_Parse(text);
	*count = cJSON_IsArray(*json) ? (size_t)cJSON_GetArraySize(*json) : 0;
	if (*count < 1 || *count > LABELS_MOST)
		return err_set(err, STATUS_FORMAT, "its labels are no list of 1 to %d texts", LABELS_MOST);
	*labels = mem_array(*count, sizeof **labels);
	if (!*labels)
		return err_memory(err, "labels");
	cJSON_ArrayForEach(item, *json) {
		if (!cJSON_IsString(item) || !*item->valuestring)
			return err_set(err, STATUS_FORMAT, "its label %zu is no text", i + 1);
		(*labels)[i++] = item->valuestring;
	}
	const char *twice;
	enum status status = names_repeated(*labels, *count, &twice, err);
	if (status == STATUS_OK && twice)
		return err_set(err, STATUS_FORMAT, "it has the label '%s' twice", twice);
	return status;
}

static enum status fill(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	const struct tensor *t = checkpoint_find(context, info->name);

	if (!t)
		return err_set(err, STATUS_FORMAT, "it has no tensor '%s'", info->name);
	if (t->dims != info->dims || t->count != info->count || t->shape[0] != info->shape[0])
		return err_set(err, STATUS_FORMAT, "its tensor '%s' has another shape than its labels and widths ask for", info->name);
	enum status status = tensor_floats(t, *slot, err);
	for (size_t i = 0; i < info->count && status == STATUS_OK; i++)
		if (!isfinite((*slot)[i]))
			status = err_set(err, STATUS_FORMAT, "its tensor '%s' holds a value that is not a finite number", info->name);
	return status;
}

static enum status count_parameter(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	(void)info;
	(void)slot;
	(void)err;
	++*(size_t *)context;
	return STATUS_OK;
}

/* What a file promises is held against what it holds before memory is taken for it. */
static enum status check_size(const struct checkpoint *c, size_t C, size_t D, size_t E, size_t n, struct err *err)
{
	const struct tensor *weight = checkpoint_find(c, "weight");
	size_t in = n ? mem_product(n, E) : D, held = 0;

	for (size_t i = 0; i < checkpoint_count(c); i++)
		held += checkpoint_at(c, i)->count;
	if (!weight || weight->count != mem_product(C, in) || (n && mem_product(E, 2 * E + 2 * D) > held))
		return err_set(err, STATUS_FORMAT, "its tensors do not have the widths that its metadata say");
	return STATUS_OK;
}

static enum status read_sizes(const struct checkpoint *c, enum head_kind kind, size_t sizes[4], struct err *err)
{
	static const char *const names[] = {"width", "pool_width", "pool_heads", "queries"};
	static const size_t most[] = {WIDTH_MOST, WIDTH_MOST, WIDTH_MOST, QUERIES_MOST};
	enum status status = STATUS_OK;

	sizes[1] = sizes[2] = sizes[3] = 0;
	for (size_t i = 0; i < (kind == HEAD_LINEAR ? 1 : 4) && status == STATUS_OK; i++)
		status = read_size(c, names[i], 1, most[i], &sizes[i], err);
	if (status == STATUS_OK && sizes[2] && sizes[1] % sizes[2])
		status = err_set(err, STATUS_FORMAT, "its pooler's width %zu is no multiple of its %zu heads", sizes[1], sizes[2]);
	return status;
}

static enum status read_facts(const struct checkpoint *c, struct head *head, struct err *err)
{
	const char *accuracy = checkpoint_metadata(c, "accuracy"), *several = need(c, "several", err);
	char *end;

	if (!several)
		return STATUS_FORMAT;
	head->several = strcmp(several, "true") == 0;
	enum status status = read_digest(c, "config", head->config_digest, err);
	if (status == STATUS_OK)
		status = read_digest(c, "weights", head->weights_digest, err);
	if (status == STATUS_OK)
		status = read_text(c, "model", head->model, sizeof head->model, err);
	if (status == STATUS_OK)
		status = read_text(c, "made", head->made, sizeof head->made, err);
	if (status == STATUS_OK)
		status = read_size(c, "photos", 0, SIZE_MAX / 2, &head->photos, err);
	if (status == STATUS_OK)
		status = read_size(c, "held_out", 0, SIZE_MAX / 2, &head->held_out, err);
	if (status == STATUS_OK && accuracy) {
		head->accuracy = strtod(accuracy, &end);
		if (end == accuracy || *end || !(head->accuracy >= 0 && head->accuracy <= 1))
			status = err_set(err, STATUS_FORMAT, "its accuracy '%.40s' is no share", accuracy);
	}
	return status;
}

static enum status read_head(struct checkpoint *c, struct head *head, struct err *err)
{
	enum head_kind kind = HEAD_POOLER;
	cJSON *json = NULL;
	const char **labels = NULL;
	size_t count, sizes[4], tensors = 0;
	enum status status = read_kind(c, &kind, err);

	if (status == STATUS_OK)
		status = read_labels(c, &json, &labels, &count, err);
	if (status == STATUS_OK)
		status = read_sizes(c, kind, sizes, err);
	if (status == STATUS_OK)
		status = check_size(c, count, sizes[0], sizes[1], sizes[3], err);
	if (status == STATUS_OK)
		status = head_init(head, kind, labels, count, sizes[0], sizes[1], sizes[2], sizes[3], err);
	if (status == STATUS_OK)
		status = read_facts(c, head, err);
	if (status == STATUS_OK)
		status = head_visit(head, fill, c, err);
	if (status == STATUS_OK)
		status = head_visit(head, count_parameter, &tensors, err);
	if (status == STATUS_OK && tensors != checkpoint_count(c))
		status = err_set(err, STATUS_FORMAT, "it holds tensors that are none of a head's");
	free(labels);
	cJSON_Delete(json);
	return status;
}

enum status head_parse(const void *bytes, size_t size, const char *name, struct head *head, struct err *err)
{
	struct checkpoint *c = NULL;

	*head = (struct head){0};
	enum status status = checkpoint_parse(bytes, size, name, &c, err);
	if (status == STATUS_OK)
		status = read_head(c, head, err);
	checkpoint_close(c);
	if (status != STATUS_OK) {
		head_release(head);
		err_prefix(err, "cannot use the head '%s'", name);
	}
	return status;
}

enum status head_open(const char *path, struct head *head, struct err *err)
{
	struct file_map map;
	enum status status = file_map_open(path, &map, err);

	*head = (struct head){0};
	if (status != STATUS_OK)
		return status;
	status = head_parse(map.data, map.size, path, head, err);
	file_map_close(&map);
	return status;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

struct listing {
	struct named_floats tensors[PARAMETERS_MOST];
	size_t count;
};

/* As stored, so that what is measured is what the file says. */
static enum status list_rounded(void *context, const struct weight_info *info, float **slot, struct err *err)
{
	struct listing *list = context;
	struct named_floats *t = &list->tensors[list->count++];

	*t = (struct named_floats){.dims = info->dims, .shape = {info->shape[0], info->shape[1]}, .data = *slot};
	t->name = mem_copy(info->name, strlen(info->name));
	if (!t->name)
		return err_memory(err, "a head");
	for (size_t i = 0; i < info->count; i++)
		(*slot)[i] = _cvtsh_ss(_cvtss_sh((*slot)[i], _MM_FROUND_TO_NEAREST_INT));
	return STATUS_OK;
}

static void describe(const struct head *head, struct buffer *labels, char numbers[8][40])
{
	const size_t values[] = {head->D, head->E, head->heads, head->n, head->photos, head->held_out};

	buffer_text(labels, "[");
	for (size_t i = 0; i < head->labels_count; i++) {
		buffer_text(labels, i ? "," : "");
		json_string(labels, head->labels[i], strlen(head->labels[i]));
	}
	buffer_text(labels, "]");
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		snprintf(numbers[i], sizeof numbers[i], "%zu", values[i]);
	snprintf(numbers[6], sizeof numbers[6], "%.6f", head->accuracy);
}

static enum status print_head(struct head *head, FILE *stream, struct err *err)
{
	struct listing list = {.count = 0};
	struct buffer labels = {0};
	char numbers[8][40];
	enum status status = head_visit(head, list_rounded, &list, err);

	describe(head, &labels, numbers);
	const struct metadata metadata[] = {
		{"coca_head", "1"}, {"kind", kinds[head->kind]}, {"config", head->config_digest}, {"weights", head->weights_digest},
		{"model", head->model}, {"made", head->made}, {"several", head->several ? "true" : "false"}, {"labels", labels.data},
		{"width", numbers[0]}, {"pool_width", numbers[1]}, {"pool_heads", numbers[2]}, {"queries", numbers[3]},
		{"photos", numbers[4]}, {"held_out", numbers[5]}, {"accuracy", numbers[6]},
	};
	size_t m = sizeof metadata / sizeof *metadata - !isfinite(head->accuracy);
	if (status == STATUS_OK && labels.failed)
		status = err_memory(err, "labels");
	if (status == STATUS_OK)
		status = checkpoint_print(stream, list.tensors, list.count, DTYPE_F16, metadata, m, err);
	for (size_t i = 0; i < list.count; i++)
		free((char *)list.tensors[i].name);
	buffer_release(&labels);
	return status;
}

enum status head_bytes(struct head *head, struct buffer *bytes, struct err *err)
{
	char *data = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&data, &size);
	enum status status = stream ? print_head(head, stream, err) : err_memory(err, "a head");

	if (stream && fclose(stream) != 0 && status == STATUS_OK)
		status = err_memory(err, "a head");
	if (status == STATUS_OK)
		buffer_append(bytes, data, size);
	free(data);
	return status == STATUS_OK && bytes->failed ? err_memory(err, "a head") : status;
}

enum status head_save(struct head *head, const char *path, struct err *err)
{
	struct file_writer writer = {0};
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	status = print_head(head, writer.stream, err);
	if (status == STATUS_OK)
		return file_writer_commit(&writer, err);
	file_writer_abort(&writer);
	return err_prefix(err, "cannot write '%s'", path);
}

enum status head_check(const struct head *head, const char *name, const char *config_digest, const char *weights_digest, const char *model,
		       struct err *err)
{
	bool config = strcmp(head->config_digest, config_digest) == 0, weights = strcmp(head->weights_digest, weights_digest) == 0;

	if (config && weights)
		return STATUS_OK;
	return err_set(err, STATUS_USAGE,
		       "the head '%s' was made for the model '%s' (weights %.8s), not for '%s' (weights %.8s%s); hint: name that model "
		       "with --model, or teach the head again", name, head->model, head->weights_digest, model, weights_digest,
		       weights ? ", another configuration" : "");
}

/* ---- what is said ----------------------------------------------------------------------------------------------- */

void head_probabilities(const struct head *head, float *logits)
{
	if (!head->several) {
		op_softmax(logits, head->labels_count);
		return;
	}
	for (size_t c = 0; c < head->labels_count; c++)
		logits[c] = 1 / (1 + expf(-logits[c]));
}

void head_decide(const struct head *head, const float *p, bool *has)
{
	size_t best = 0;

	for (size_t c = 0; c < head->labels_count; c++) {
		has[c] = head->several && p[c] >= 0.5f;
		best = p[c] > p[best] ? c : best;
	}
	if (!head->several)
		has[best] = true;
}
