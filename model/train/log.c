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

enum { LOG_MOST = 1 << 30, COLUMNS = 17, POINTS = 400 };

static const char header[] = "step,epoch,rate,loss,contrastive,caption,gradient_norm,logit_scale,samples_per_second,held_out_contrastive,"
			     "held_out_caption,text_to_image_r1,text_to_image_r5,text_to_image_r10,image_to_text_r1,image_to_text_r5,"
			     "image_to_text_r10\n";

void train_log_release(struct train_log *log)
{
	free(log->rows);
	*log = (struct train_log){0};
}

enum status train_log_add(struct train_log *log, const struct train_row *row, struct err *err)
{
	if (log->count == log->room) {
		size_t room = log->room ? 2 * log->room : 256;
		struct train_row *grown = mem_resize(log->rows, room, sizeof *grown);
		if (!grown)
			return err_memory(err, "the log");
		log->rows = grown;
		log->room = room;
	}
	log->rows[log->count++] = *row;
	return STATUS_OK;
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

/* The numbers of a line; what is empty is NaN. False: not COLUMNS of them. */
static bool parse_line(const char *line, double values[COLUMNS])
{
	for (int c = 0; c < COLUMNS; c++) {
		char *end = (char *)(uintptr_t)line;
		values[c] = *line == ',' || *line == '\n' ? NAN : strtod(line, &end);
		if (*end != (c + 1 < COLUMNS ? ',' : '\n'))
			return false;
		line = end + 1;
	}
	return true;
}

static struct train_row row_of(const double v[COLUMNS])
{
	return (struct train_row){
		.step = (uint64_t)v[0],
		.epoch = v[1],
		.rate = v[2],
		.loss = v[3],
		.contrastive = v[4],
		.caption = v[5],
		.norm = v[6],
		.scale = v[7],
		.samples_per_second = v[8],
		.measured = !isnan(v[11]),
		.held_out = {v[9], v[10], {v[11], v[12], v[13]}, {v[14], v[15], v[16]}},
	};
}

enum status train_log_read(const char *path, uint64_t upto, struct train_log *log, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t size;
	double values[COLUMNS];
	enum status status = file_read(path, LOG_MOST, &bytes, &size, err);

	if (status == STATUS_NOT_FOUND)
		return STATUS_OK;
	const char *line = status == STATUS_OK ? strchr((const char *)bytes, '\n') : NULL;
	for (; line && line[1] && status == STATUS_OK; line = strchr(line + 1, '\n')) {
		if (!parse_line(line + 1, values) || !(values[0] >= 1))
			break; /* a line that was being written when the machine stopped */
		if (values[0] > (double)upto)
			break;
		struct train_row row = row_of(values);
		status = train_log_add(log, &row, err);
	}
	free(bytes);
	return status;
}

static void print_row(FILE *stream, const struct train_row *r)
{
	fprintf(stream, "%llu,%.6g,%.9g,%.17g,%.17g,%.17g,%.9g,%.9g,%.4g", (unsigned long long)r->step, r->epoch, r->rate, r->loss,
		r->contrastive, r->caption, r->norm, r->scale, r->samples_per_second);
	if (!r->measured) {
		fputs(",,,,,,,,\n", stream);
		return;
	}
	const struct train_measure *h = &r->held_out;
	fprintf(stream, ",%.9g,%.9g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g\n", h->contrastive, h->caption, h->text_to_image[0], h->text_to_image[1],
		h->text_to_image[2], h->image_to_text[0], h->image_to_text[1], h->image_to_text[2]);
}

enum status train_log_write(const struct train_log *log, const char *path, struct err *err)
{
	struct file_writer writer;
	enum status status = file_writer_open(path, &writer, err);

	if (status != STATUS_OK)
		return status;
	fputs(header, writer.stream);
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
	double (*value)(const struct train_row *row);
};

static double contrastive_of(const struct train_row *r) { return r->contrastive; }
static double caption_of(const struct train_row *r) { return r->caption; }
static double held_contrastive_of(const struct train_row *r) { return r->held_out.contrastive; }
static double held_caption_of(const struct train_row *r) { return r->held_out.caption; }
static double text_to_image_of(const struct train_row *r) { return r->held_out.text_to_image[2]; }
static double image_to_text_of(const struct train_row *r) { return r->held_out.image_to_text[2]; }

static const struct series losses[] = {
	{"contrastive", "#1f77b4", false, contrastive_of},
	{"caption", "#d62728", false, caption_of},
	{"contrastive, held out", "#17becf", true, held_contrastive_of},
	{"caption, held out", "#ff7f0e", true, held_caption_of},
};
static const struct series recalls[] = {
	{"text to image", "#2ca02c", true, text_to_image_of},
	{"image to text", "#9467bd", true, image_to_text_of},
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
			y += s->value(&log->rows[i]);
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
		if (log->rows[i].measured && isfinite(s->value(&log->rows[i]))) {
			fprintf(f, "%c%.1f %.1f", command, x_of(p, (double)log->rows[i].step), y_of(p, s->value(&log->rows[i])));
			command = 'L';
		}
	fputs("\"/>\n", f);
	for (size_t i = 0; i < log->count; i++)
		if (log->rows[i].measured && isfinite(s->value(&log->rows[i])))
			fprintf(f, "<circle r=\"2\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\"/>\n", s->colour, x_of(p, (double)log->rows[i].step),
				y_of(p, s->value(&log->rows[i])));
}

static void draw_panel(FILE *f, struct panel p, const char *title, const struct series *series, size_t n, const struct train_log *log)
{
	double most = 0;

	for (size_t s = 0; s < n; s++)
		for (size_t i = 0; i < log->count; i++)
			if ((!series[s].dots || log->rows[i].measured) && isfinite(series[s].value(&log->rows[i])))
				most = fmax(most, series[s].value(&log->rows[i]));
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
