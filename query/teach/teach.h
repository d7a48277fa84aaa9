/* teach.h: a head of a lesson: made for the library's model, taught, and graded on what the lesson holds out.
 *
 *     struct teach_options options = {.kind = HEAD_POOLER, .queries = 1, .own_start = true, .learn = tune_defaults};
 *     teach_head(&lesson, &options, &taught, err);
 *     ... taught.head, taught.grades ...
 *     taught_release(&taught);
 */
#ifndef QUERY_TEACH_TEACH_H
#define QUERY_TEACH_TEACH_H

#include "query/teach/grades.h"
#include "query/teach/lesson.h"

struct teach_options {
	enum head_kind kind;
	size_t queries;            /* of the pooler */
	bool own_start;            /* the pooler starts from the model's own, where it has one; else from random values */
	struct tune_options learn;
	bool fixed_epochs, fixed_batch; /* else: fewer epochs where nothing says when to stop, a smaller batch of few photographs */
};

struct taught {
	struct head head;
	struct tune_result result;
	struct grades grades;      /* of no photographs, where nothing is held out */
	double seconds;            /* that learning took */
};

/* A finished lesson; it must outlive what was taught. */
enum status teach_head(const struct lesson *lesson, const struct teach_options *options, struct taught *taught, struct err *err);
void taught_release(struct taught *taught); /* takes a zeroed one */

/* What the labels' names alone do on what is held out: zero-shot classification. */
enum status teach_nothing(const struct lesson *lesson, struct grades *grades, struct err *err);

#endif
