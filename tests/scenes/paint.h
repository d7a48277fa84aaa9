/* paint.h: what draw.c and shapes.c share: a pen over one pixel of one object.
 *
 * An object lives in -1..1 on both axes, y downwards. Its shape function calls fill and tint with signed distances (negative
 * inside), back to front; each call covers the pixel by its share, so that edges are smooth.
 */
#ifndef TESTS_SCENES_PAINT_H
#define TESTS_SCENES_PAINT_H

#include "tests/scenes/scenes.h"

struct rgb {
	float r, g, b; /* 0..255 */
};

struct scene_pen {
	float x, y;    /* the pixel's centre */
	float pixel;   /* a pixel's side */
	struct rgb main, mark; /* the object's colour, and its texture's second one */
	enum scene_texture texture;
	float repeat;  /* of the texture, within 1 */
	struct rgb at; /* what is seen: from the background on, every call paints over it */
};

/* Paints the object's own colour, textured, where distance is negative, with a darker line around it. */
void scene_pen_fill(struct scene_pen *pen, float distance);
/* Paints a colour that belongs to the thing (a trunk, a window), with a line. */
void scene_pen_tint(struct scene_pen *pen, struct rgb colour, float distance);

/* Paints one pixel of a shape. */
void scene_shape_paint(enum scene_shape shape, struct scene_pen *pen);

#endif
