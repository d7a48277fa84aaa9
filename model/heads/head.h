/* head.h: what is taught on top of a frozen model: a pooler with queries of its own and a linear map, in one small file.
 *
 *     pooler   encoder tokens (vision.h)                  -> pooler of n queries -> norm -> linear -> a number for each label
 *     linear   the embedding                                                          -> linear -> a number for each label
 *     answers  decoder states of photograph and question -> pooler of n queries -> norm -> linear -> a number for each answer
 *
 *     struct head head;
 *     head_open("pets.head", &head, err);
 *     head_check(&head, config_digest, weights_digest, name, err);         // made for this model?
 *     struct head_pass *pass;
 *     head_pass_new(&head, 1, M, &pass, err);
 *     const float *p = head_read(pass, x, M);                               // p[C]: a probability for each label
 *     head_decide(&head, p, has);
 *
 * The file is safetensors, F16; its metadata say what kind it is, for which model (by the digests of configuration and weights), the
 * labels, when it was taught, on how much, and how well it did on what was held out.
 *
 * Letters: C labels, M rows (tokens) of an item, D their width, n queries, E the pooler's width, H heads.
 */
#ifndef MODEL_HEADS_HEAD_H
#define MODEL_HEADS_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "model/files/weights.h"
#include "schema/base/memory.h"

enum head_kind { HEAD_POOLER, HEAD_LINEAR, HEAD_ANSWERS };

struct head {
	enum head_kind kind;
	char config_digest[33], weights_digest[33];
	char model[256];          /* folder it was taught on, for messages */
	char made[32];            /* date and time, UTC */
	bool several;             /* a photograph may have several labels, or none; else exactly one */
	size_t labels_count;      /* C */
	char **labels;            /* [C] */
	size_t photos, held_out;  /* it learned from, was measured on */
	double accuracy;          /* share of what was held out that it got right; NAN: nothing was held out */
	size_t D, E, heads, n;    /* linear: E is D, n is 0 */
	struct pooler pool;
	struct norm norm;         /* [E] */
	float *weight, *bias;     /* [C,nE], linear [C,D]; [C] */
	float *memory;            /* [floats]: all parameters, each from a multiple of 16 on */
	size_t floats;
};

const char *head_kind_name(enum head_kind kind);

/* labels are copied; every parameter is 0. */
enum status head_init(struct head *head, enum head_kind kind, const char *const *labels, size_t count, size_t D, size_t E, size_t heads,
		      size_t n, struct err *err);
void head_release(struct head *head); /* takes a zeroed one */

/* Every parameter once, as weights_visit has it. */
enum status head_visit(struct head *head, weight_visitor visit, void *context, struct err *err);

/* STATUS_FORMAT or STATUS_UNSUPPORTED says what is wrong with the file, and what it is if it is something else of ours. */
enum status head_open(const char *path, struct head *head, struct err *err);
enum status head_parse(const void *bytes, size_t size, const char *name, struct head *head, struct err *err);
/* Rounds the parameters to what the file holds. */
enum status head_bytes(struct head *head, struct buffer *bytes, struct err *err);
/* Replaces a file in one step: killed at any moment, there is the old one or the new one. */
enum status head_save(struct head *head, const char *path, struct err *err);

/* STATUS_USAGE, naming both models, unless the head belongs to the model of these digests. */
enum status head_check(const struct head *head, const char *name, const char *config_digest, const char *weights_digest, const char *model,
		       struct err *err);

/* ---- reading ---- */

/* A head that is ready to be read, with scratch for batches of items of at most rows_most rows each; those who only read take a batch of 1.
 * The head must outlive it, and not change. One thread at a time. */
struct head_pass;
enum status head_pass_new(const struct head *head, size_t batch, size_t rows_most, struct head_pass **pass, struct err *err);
void head_pass_free(struct head_pass *pass); /* takes NULL */
/* Probabilities [C] from x[M,D], valid until the pass is used again; a linear head takes the embedding, M = 1. */
const float *head_read(struct head_pass *pass, const float *x, size_t M);

/* has[C]: of several labels those with p >= 0.5; else the most probable alone, the first of equals. */
void head_decide(const struct head *head, const float *p, bool *has);

/* In place: softmax, or for several labels each number's logistic function. */
void head_probabilities(const struct head *head, float *logits);

#endif
