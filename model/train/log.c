/* log.c: see log.h. */
#include "model/train/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/file.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { LOG_MOST = 1 << 30, POINTS = 400 };

/* The columns of log.csv. Those of a step's measure, behind `measured`, are empty where nothing was measured. */
static const struct column {
	const char *name, *format;
	size_t at;                 /* a double in struct train_row */
} columns[] = {
	{"epoch", "%.6g", offsetof(struct train_row, epoch)},
	{"rate", "%.9g", offsetof(struct train_row, rate)},
	{"loss", "%.17g", offsetof(struct train_row, loss)},
	{"contrastive", "%.17g", offsetof(struct train_row, contrastive)},
	{"caption", "%.17g", offsetof(struct train_row, caption)},
	{"gradient_norm", "%.9g", offsetof(struct train_row, norm)},
	{"logit_scale", "%.9g", offsetof(struct train_row, scale)},
	{"samples_per_second", "%.4g", offsetof(struct train_row, samples_per_second)},
	{"held_out_contrastive", "%.9g", offsetof(struct train_row, held_out.contrastive)},
	{"held_out_caption", "%.9g", offsetof(struct train_row, held_out.caption)},
	{"text_to_image_r1", "%.6g", offsetof(struct train_row, held_out.text_to_image[0])},
	{"text_to_image_r5", "%.6g", offsetof(struct train_row, held_out.text_to_image[1])},
	{"text_to_image_r10", "%.6g", offsetof(struct train_row, held_out.text_to_image[2])},
	{"image_to_text_r1", "%.6g", offsetof(struct train_row, held_out.image_to_text[0])},
	{"image_to_text_r5", "%.6g", offsetof(struct train_row, held_out.image_to_text[1])},
	{"image_to_text_r10", "%.6g", offsetof(struct train_row, held_out.image_to_text[2])},
};
enum { COLUMNS = sizeof columns / sizeof *columns, OF_A_STEP = 8 };

static double value_at(const struct train_row *row, size_t at)
{
	return *(const double *)(const void *)((const char *)row + at);
}

void train_log_release(struct train_log *log)
{
	free(log->rows);
	*log = (struct train_log){0};
}

enum status train_log_add(struct train_log *log, const struct train_row *row, struct err *err)
{
	if (!mem_grow(&log->rows, &log->room, log->count + 1, sizeof *log->rows))
		return err_memory(err, "the log");
	log->rows[log->count++] = *row;
	return STATUS_OK;
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

/* The step, then a number or nothing for each column. False: not as many as there are columns. */
static bool parse_line(const char *line, struct train_row *row)
{
	char *end;
	double step = strtod(line, &end);

	*row = (struct train_row){.step = step >= 1 && step < 1e18 ? (uint64_t)step : 0};
	for (int c = 0; c < COLUMNS; c++) {
		if (*end != ',')
			return false;
		line = end + 1;
		bool empty = *line == ',' || *line == '\n';
		double value = empty ? (double)NAN : strtod(line, &end);
		end = empty ? end + 1 : end;
		memcpy((char *)row + columns[c].at, &value, sizeof value);
	}
	row->measured = !isnan(row->held_out.text_to_image[0]);
	return *end == '\n' && row->step;
}

enum status train_log_read(const char *path, uint64_t upto, struct train_log *log, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size;
	struct train_row row;
	enum status status = file_read(path, LOG_MOST, &bytes, &size, err);

	if (status == STATUS_NOT_FOUND)
		return STATUS_OK;
	const char *line = status == STATUS_OK ? strchr((const char *)bytes, '\n') : NULL;
	for (; line && line[1] && status == STATUS_OK; line = strchr(line + 1, '\n')) {
		if (!parse_line(line + 1, &row)) /* it was being written when the machine stopped */
			break;
		if (row.step > upto)
			break;
		status = train_log_add(log, &row, err);
	}
	free(bytes);
	return status;
}

static void print_row(FILE *stream, const struct train_row *row)
{
	fprintf(stream, "%llu", (unsigned long long)row->step);
	for (int c = 0; c < COLUMNS; c++) {
		fputc(',', stream);
		if (c < OF_A_STEP || row->measured)
			fprintf(stream, columns[c].format, value_at(row, columns[c].at));
	}
	fputc('\n', stream);
}

enum status train_log_write(const struct train_log *log, const char *path, struct err *err)
{
	struct file_writer writer;
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	fputs("step", writer.stream);
	for (int c = 0; c < COLUMNS; c++)
		fprintf(writer.stream, ",%s", columns[c].name);
	fputc('\n', writer.stream);
	for (size_t i = 0; i < log->count; i++)
		print_row(writer.stream, &log->rows[i]);
	return file_writer_commit(&writer, err);
}

/* ---- picture ---------------------------------------------------------------------------------------------------- */

enum { WIDTH = 860, HEIGHT = 340, LEFT = 60, RIGHT = 20, TOP = 40, BOTTOM = 46, GAP = 70 };

struct panel {
	double left, width, top, height;
	double x_most, y_most;
};

struct series {
	const char *name, *colour;
	bool dots;                                    /* measured rows alone, each a dot */
	size_t at;                                    /* of its value in struct train_row */
};

static const struct series losses[] = {
	{"contrastive", "#1f77b4", false, offsetof(struct train_row, contrastive)},
	{"caption", "#d62728", false, offsetof(struct train_row, caption)},
	{"contrastive, held out", "#17becf", true, offsetof(struct train_row, held_out.contrastive)},
	{"caption, held out", "#ff7f0e", true, offsetof(struct train_row, held_out.caption)},
};
static const struct series recalls[] = {
	{"text to image", "#2ca02c", true, offsetof(struct train_row, held_out.text_to_image[2])},
	{"image to text", "#9467bd", true, offsetof(struct train_row, held_out.image_to_text[2])},
};

/* 1, 2 or 5 times a power of ten, so that `parts` of them reach most. */
static double tick_of(double most, double parts)
{
	double unit = pow(10, floor(log10(most / parts))), ratio = most / parts / unit;
	return unit * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}

static double x_of(const struct panel *p, double x)
{
	return p->left + p->width * x / p->x_most;
}

static double y_of(const struct panel *p, double y)
{
	return p->top + p->height * (1 - fmin(fmax(y, 0), p->y_most) / p->y_most);
}

static void draw_axes(FILE *f, const struct panel *p, const char *title)
{
	double step = tick_of(p->x_most, 5), up = tick_of(p->y_most, 6);

	fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n", p->left, p->top - 22, title);
	for (double y = 0; y <= p->y_most * 1.0001; y += up)
		fprintf(f, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			p->left, y_of(p, y), p->width, p->left - 6, y_of(p, y) + 4, y);
	for (double x = 0; x <= p->x_most * 1.0001; x += step)
		fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n", x_of(p, x), p->top + p->height + 18, x);
	fprintf(f, "<path d=\"M%.1f %.1fv%.1fh%.1f\" stroke=\"#888\" fill=\"none\"/>\n", p->left, p->top, p->height, p->width);
	fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">step</text>\n", p->left + p->width / 2, p->top + p->height + 36);
}

/* A line through the means of at most POINTS runs of rows. */
static void draw_line(FILE *f, const struct panel *p, const struct series *s, const struct train_log *log)
{
	size_t each = log->count / POINTS + 1;
	char command = 'M';

	fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"", s->colour);
	for (size_t from = 0; from < log->count; from += each) {
		size_t to = from + each < log->count ? from + each : log->count;
		double x = 0, y = 0;
		for (size_t i = from; i < to; i++) {
			x += (double)log->rows[i].step;
			y += value_at(&log->rows[i], s->at);
		}
		double n = (double)(to - from);
		if (!isfinite(y))
			continue;
		fprintf(f, "%c%.1f %.1f", command, x_of(p, x / n), y_of(p, y / n));
		command = 'L';
	}
	fputs("\"/>\n", f);
}

static void draw_dots(FILE *f, const struct panel *p, const struct series *s, const struct train_log *log)
{
	char command = 'M';

	fprintf(f, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" stroke-dasharray=\"4 2\" d=\"", s->colour);
	for (size_t i = 0; i < log->count; i++)
		if (log->rows[i].measured && isfinite(value_at(&log->rows[i], s->at))) {
			fprintf(f, "%c%.1f %.1f", command, x_of(p, (double)log->rows[i].step), y_of(p, value_at(&log->rows[i], s->at)));
			command = 'L';
		}
	fputs("\"/>\n", f);
	for (size_t i = 0; i < log->count; i++)
		if (log->rows[i].measured && isfinite(value_at(&log->rows[i], s->at)))
			fprintf(f, "<circle r=\"2\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\"/>\n", s->colour, x_of(p, (double)log->rows[i].step),
				y_of(p, value_at(&log->rows[i], s->at)));
}

static void draw_panel(FILE *f, struct panel p, const char *title, const struct series *series, size_t n, const struct train_log *log)
{
	double most = 0;

	for (size_t s = 0; s < n; s++)
		for (size_t i = 0; i < log->count; i++)
			if ((!series[s].dots || log->rows[i].measured) && isfinite(value_at(&log->rows[i], series[s].at)))
				most = fmax(most, value_at(&log->rows[i], series[s].at));
	p.y_most = most > 0 ? tick_of(most, 6) * ceil(most / tick_of(most, 6)) : 1;
	draw_axes(f, &p, title);
	for (size_t s = 0; s < n; s++) {
		(series[s].dots ? draw_dots : draw_line)(f, &p, &series[s], log);
		fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" text-anchor=\"end\">%s</text>\n", p.left + p.width - 4,
			p.top + 14 + 15 * (double)s, series[s].colour, series[s].name);
	}
}

enum status train_log_draw(const struct train_log *log, const char *path, struct err *err)
{
	struct file_writer writer;
	enum status status = file_writer_open(path, &writer, err);
	double half = (double)(WIDTH - LEFT - GAP - RIGHT) / 2;
	struct panel left = {LEFT, half, TOP, HEIGHT - TOP - BOTTOM, 1, 1}, right = left;

	if (status != STATUS_OK)
		return status;
	right.left = LEFT + half + GAP;
	left.x_most = right.x_most = log->count ? (double)log->rows[log->count - 1].step : 1;
	fprintf(writer.stream,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, HEIGHT, WIDTH, HEIGHT);
	draw_panel(writer.stream, left, "losses", losses, sizeof losses / sizeof *losses, log);
	draw_panel(writer.stream, right, "recall at 10 on held-out samples, percent", recalls, sizeof recalls / sizeof *recalls, log);
	fputs("</svg>\n", writer.stream);
	return file_writer_commit(&writer, err);
}
