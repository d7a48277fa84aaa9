/* grades.h: how well a head (or zero-shot) did on photographs whose labels are known: shares, each label's figures, and
 * what was taken for what.
 *
 *     struct grades grades;
 *     grades_make(labels, C, several, items, p, n, &grades, err);
 *     grades_text(&grades, &out); grades_json(&grades, &out);
 *     grades_release(&grades);
 */
#ifndef QUERY_TEACH_GRADES_H
#define QUERY_TEACH_GRADES_H

#include "model/heads/tune.h"

struct label_grades {
	size_t photos, said, right; /* that have it; that were said to; both */
	double precision, recall, average_precision; /* NAN: nothing to say it of */
};

struct confusion {
	uint32_t is, said;
	size_t photos;
};

struct grades {
	const char *const *labels;
	size_t C, photos;
	bool several;
	double accuracy;            /* share of the photographs of which all labels are right, and no other was said */
	double top5;                /* single labels: share of which the right one is among the best five */
	double balanced;            /* mean of the labels' recall */
	double f1;                  /* mean of the labels' 2 right / (photos + said) */
	struct label_grades *each;   /* [C] */
	struct confusion *confusions; /* of single labels: what is wrong, most photographs first */
	size_t confusion_count;
	size_t *matrix;             /* [C,C] where C is small and labels are single; else NULL */
};

/* p[n,C]: probabilities. labels must outlive it. */
enum status grades_make(const char *const *labels, size_t C, bool several, const struct tune_item *items, const float *p, size_t n,
		       struct grades *grades, struct err *err);
void grades_release(struct grades *grades);

void grades_text(const struct grades *grades, struct buffer *out);
void grades_json(const struct grades *grades, struct buffer *out); /* members of an object, without its braces */

#endif
