/* grades.c: see grades.h. */
#include "query/teach/grades.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "query/show/format.h"
#include "schema/base/json.h"

#include "schema/base/banned.h"

enum { MATRIX_MOST = 12, CONFUSIONS_SHOWN = 12, LABELS_SHOWN = 40, NAME_SHOWN = 24 };

/* ---- counting --------------------------------------------------------------------------------------------------- */

static bool has_label(const struct tune_item *item, size_t label)
{
	for (size_t k = 0; k < item->label_count; k++)
		if (item->labels[k] == label)
			return true;
	return false;
}

static size_t best_of(const float *p, size_t C)
{
	size_t best = 0;

	for (size_t c = 1; c < C; c++)
		best = p[c] > p[best] ? c : best;
	return best;
}

static bool among_five(const float *p, size_t C, size_t label)
{
	size_t before = 0;

	for (size_t c = 0; c < C; c++)
		before += p[c] > p[label] || (p[c] == p[label] && c < label);
	return before < 5;
}

struct ranked {
	float p;
	size_t item;
};

static int by_probability(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->p != y->p)
		return x->p > y->p ? -1 : 1;
	return (x->item > y->item) - (x->item < y->item);
}

/* Mean of the precision at each photograph that has the label, in the order of probability. */
static double average_precision(const struct tune_item *items, const float *p, size_t n, size_t C, size_t label, struct ranked *order)
{
	size_t found = 0;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		order[i] = (struct ranked){p[i * C + label], i};
	qsort(order, n, sizeof *order, by_probability);
	for (size_t i = 0; i < n; i++)
		if (has_label(&items[order[i].item], label))
			sum += (double)++found / (double)(i + 1);
	return found ? sum / (double)found : NAN;
}

static int by_photos(const void *a, const void *b)
{
	const struct confusion *x = a, *y = b;

	if (x->photos != y->photos)
		return x->photos > y->photos ? -1 : 1;
	if (x->is != y->is)
		return x->is < y->is ? -1 : 1;
	return (x->said > y->said) - (x->said < y->said);
}

static int by_pair(const void *a, const void *b)
{
	const struct confusion *x = a, *y = b;

	if (x->is != y->is)
		return x->is < y->is ? -1 : 1;
	return (x->said > y->said) - (x->said < y->said);
}

/* Equal ones become one. */
static void merge_confusions(struct grades *m)
{
	size_t kept = 0;

	if (m->confusion_count)
		qsort(m->confusions, m->confusion_count, sizeof *m->confusions, by_pair);
	for (size_t i = 0; i < m->confusion_count; i++) {
		if (kept && by_pair(&m->confusions[kept - 1], &m->confusions[i]) == 0)
			m->confusions[kept - 1].photos++;
		else
			m->confusions[kept++] = m->confusions[i];
	}
	m->confusion_count = kept;
	if (kept)
		qsort(m->confusions, kept, sizeof *m->confusions, by_photos);
}

static void count_single(struct grades *m, const struct tune_item *item, const float *p)
{
	uint32_t is = item->labels[0], said = (uint32_t)best_of(p, m->C);

	m->each[is].photos++;
	m->each[said].said++;
	m->each[is].right += is == said;
	m->accuracy += is == said;
	m->top5 += among_five(p, m->C, is);
	if (m->matrix)
		m->matrix[is * m->C + said]++;
	if (is != said)
		m->confusions[m->confusion_count++] = (struct confusion){is, said, 1};
}

static void count_several(struct grades *m, const struct tune_item *item, const float *p)
{
	bool all = true;

	for (size_t c = 0; c < m->C; c++) {
		bool is = has_label(item, c), said = p[c] >= 0.5f;
		m->each[c].photos += is;
		m->each[c].said += said;
		m->each[c].right += is && said;
		all = all && is == said;
	}
	m->accuracy += all;
}

static void conclude(struct grades *m, const struct tune_item *items, const float *p, struct ranked *order)
{
	double recalls = 0, f1 = 0;
	size_t known = 0;

	for (size_t c = 0; c < m->C; c++) {
		struct label_grades *l = &m->each[c];
		l->precision = l->said ? (double)l->right / (double)l->said : NAN;
		l->recall = l->photos ? (double)l->right / (double)l->photos : NAN;
		l->average_precision = average_precision(items, p, m->photos, m->C, c, order);
		if (!l->photos)
			continue;
		recalls += l->recall;
		f1 += 2 * (double)l->right / (double)(l->photos + l->said);
		known++;
	}
	m->accuracy /= (double)m->photos;
	m->top5 = m->several ? NAN : m->top5 / (double)m->photos;
	m->balanced = known ? recalls / (double)known : NAN;
	m->f1 = known ? f1 / (double)known : NAN;
	merge_confusions(m);
}

enum status grades_make(const char *const *labels, size_t C, bool several, const struct tune_item *items, const float *p, size_t n,
		       struct grades *grades, struct err *err)
{
	struct ranked *order = mem_array(n, sizeof *order);

	*grades = (struct grades){.labels = labels, .C = C, .photos = n, .several = several};
	grades->each = mem_array(C, sizeof *grades->each);
	grades->confusions = mem_array(n, sizeof *grades->confusions);
	grades->matrix = !several && C <= MATRIX_MOST ? mem_array(C * C, sizeof *grades->matrix) : NULL;
	if (!order || !grades->each || !grades->confusions || (!several && C <= MATRIX_MOST && !grades->matrix)) {
		free(order);
		grades_release(grades);
		return err_memory(err, "a table of labels");
	}
	for (size_t i = 0; i < n; i++) {
		if (several)
			count_several(grades, &items[i], p + i * C);
		else
			count_single(grades, &items[i], p + i * C);
	}
	conclude(grades, items, p, order);
	free(order);
	return STATUS_OK;
}

void grades_release(struct grades *grades)
{
	free(grades->each);
	free(grades->confusions);
	free(grades->matrix);
	*grades = (struct grades){0};
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

static size_t shown_width(const char *name)
{
	size_t n = strlen(name);
	return n < NAME_SHOWN ? n : NAME_SHOWN;
}

/* The name, cut and padded to width. */
static void print_name(const char *name, size_t width, bool right, struct buffer *out)
{
	size_t n = strlen(name), shown = n;

	if (shown > NAME_SHOWN)
		for (shown = NAME_SHOWN; shown && ((unsigned char)name[shown] & 0xc0) == 0x80;)
			shown--;
	for (size_t i = shown; right && i < width; i++)
		buffer_text(out, " ");
	format_visible(name, shown, out);
	for (size_t i = shown; !right && i < width; i++)
		buffer_text(out, " ");
}

static size_t widest_name(const struct grades *m)
{
	size_t widest = 5;

	for (size_t c = 0; c < m->C; c++)
		widest = shown_width(m->labels[c]) > widest ? shown_width(m->labels[c]) : widest;
	return widest;
}

static void print_percent(double share, struct buffer *out)
{
	if (isfinite(share))
		buffer_format(out, "  %6.2f", 100 * share);
	else
		buffer_text(out, "       -");
}

/* Rows are what photographs show, columns what was said. */
static void print_matrix(const struct grades *m, size_t width, struct buffer *out)
{
	buffer_text(out, "\n");
	print_name("is \\ said", width, false, out);
	for (size_t c = 0; c < m->C; c++) {
		buffer_text(out, "  ");
		print_name(m->labels[c], 5, true, out);
	}
	buffer_text(out, "\n");
	for (size_t r = 0; r < m->C; r++) {
		print_name(m->labels[r], width, false, out);
		for (size_t c = 0; c < m->C; c++) {
			size_t column = shown_width(m->labels[c]);
			buffer_format(out, "  %*zu", (int)(column > 5 ? column : 5), m->matrix[r * m->C + c]);
		}
		buffer_text(out, "\n");
	}
}

static void print_confusions(const struct grades *m, struct buffer *out)
{
	size_t shown = m->confusion_count < CONFUSIONS_SHOWN ? m->confusion_count : CONFUSIONS_SHOWN;

	buffer_text(out, shown ? "\nmost often taken for another\n" : "");
	for (size_t i = 0; i < shown; i++) {
		const struct confusion *c = &m->confusions[i];
		buffer_format(out, "%5zu  ", c->photos);
		format_visible(m->labels[c->is], strlen(m->labels[c->is]), out);
		buffer_text(out, " for ");
		format_visible(m->labels[c->said], strlen(m->labels[c->said]), out);
		buffer_text(out, "\n");
	}
}

void grades_text(const struct grades *m, struct buffer *out)
{
	size_t width = widest_name(m);

	buffer_format(out, "held out: %zu photos, %.2f %% right", m->photos, 100 * m->accuracy);
	if (!m->several && m->C > 5)
		buffer_format(out, ", %.2f %% among the best five", 100 * m->top5);
	buffer_format(out, "; mean over labels: recall %.2f %%, F1 %.2f %%\n\n", 100 * m->balanced, 100 * m->f1);
	print_name("label", width, false, out);
	buffer_text(out, "  photos  precision  recall  average precision\n");
	for (size_t c = 0; c < m->C && c < LABELS_SHOWN; c++) {
		print_name(m->labels[c], width, false, out);
		buffer_format(out, "  %6zu   ", m->each[c].photos);
		print_percent(m->each[c].precision, out);
		print_percent(m->each[c].recall, out);
		buffer_text(out, "           ");
		print_percent(m->each[c].average_precision, out);
		buffer_text(out, "\n");
	}
	if (m->C > LABELS_SHOWN)
		buffer_format(out, "... and %zu more; hint: --format json\n", m->C - LABELS_SHOWN);
	if (m->matrix)
		print_matrix(m, width, out);
	else if (!m->several)
		print_confusions(m, out);
}

void grades_json(const struct grades *m, struct buffer *out)
{
	buffer_format(out, "\"held_out\":%zu,\"accuracy\":", m->photos);
	json_number(out, m->accuracy);
	buffer_text(out, ",\"top5\":");
	json_number(out, m->top5);
	buffer_text(out, ",\"balanced\":");
	json_number(out, m->balanced);
	buffer_text(out, ",\"f1\":");
	json_number(out, m->f1);
	buffer_text(out, ",\"labels\":[");
	for (size_t c = 0; c < m->C; c++) {
		const struct label_grades *l = &m->each[c];
		buffer_text(out, c ? ",{\"label\":" : "{\"label\":");
		json_string(out, m->labels[c], strlen(m->labels[c]));
		buffer_format(out, ",\"photos\":%zu,\"said\":%zu,\"right\":%zu,\"precision\":", l->photos, l->said, l->right);
		json_number(out, l->precision);
		buffer_text(out, ",\"recall\":");
		json_number(out, l->recall);
		buffer_text(out, ",\"average_precision\":");
		json_number(out, l->average_precision);
		buffer_text(out, "}");
	}
	buffer_text(out, "],\"confusions\":[");
	for (size_t i = 0; i < m->confusion_count; i++) {
		const struct confusion *c = &m->confusions[i];
		buffer_text(out, i ? ",{\"is\":" : "{\"is\":");
		json_string(out, m->labels[c->is], strlen(m->labels[c->is]));
		buffer_text(out, ",\"said\":");
		json_string(out, m->labels[c->said], strlen(m->labels[c->said]));
		buffer_format(out, ",\"photos\":%zu}", c->photos);
	}
	buffer_text(out, "]");
}
