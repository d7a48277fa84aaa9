/* shapes.c: the things in scenes, each from a few signed distances: discs, boxes, strokes, polygons.
 *
 * Distances: a union is the smaller, an intersection the larger one; a hole is the larger of a and minus b.
 */
#include <math.h>

#include "tests/scenes/paint.h"

#include "schema/base/banned.h"

static const struct rgb wood = {120, 78, 44}, glass = {190, 226, 245}, dark = {45, 45, 52}, cream = {248, 240, 222},
			leaf_green = {70, 150, 62}, sunny = {252, 206, 62}, roof_brown = {150, 72, 52}, flame = {250, 140, 40};

/* --- distances --- */

static float disc(const struct scene_pen *p, float x, float y, float radius)
{
	return hypotf(p->x - x, p->y - y) - radius;
}

/* Not exact away from the edge, but there it is near enough. */
static float ellipse(const struct scene_pen *p, float x, float y, float across, float down)
{
	float u = (p->x - x) / across, v = (p->y - y) / down, k = hypotf(u, v), slope = hypotf(u / across, v / down);

	return slope > 1e-6f ? k * (k - 1) / slope : -fminf(across, down);
}

/* Half sides; round is the corners' radius. */
static float box(const struct scene_pen *p, float x, float y, float half_width, float half_height, float round)
{
	float u = fabsf(p->x - x) - half_width + round, v = fabsf(p->y - y) - half_height + round;

	return hypotf(fmaxf(u, 0), fmaxf(v, 0)) + fminf(fmaxf(u, v), 0) - round;
}

/* A line with round ends, and half as thick as width. */
static float stroke(const struct scene_pen *p, float x0, float y0, float x1, float y1, float half)
{
	float dx = x1 - x0, dy = y1 - y0, t = ((p->x - x0) * dx + (p->y - y0) * dy) / (dx * dx + dy * dy);

	t = fminf(fmaxf(t, 0), 1);
	return hypotf(p->x - x0 - t * dx, p->y - y0 - t * dy) - half;
}

struct point {
	float x, y;
};

/* Any polygon without crossings: distance to the nearest side, and inside if a ray crosses an odd number of sides. */
static float polygon(const struct scene_pen *p, const struct point *corner, int n)
{
	float nearest = 1e9f;
	int inside = 0;

	for (int i = 0, j = n - 1; i < n; j = i++) {
		struct point a = corner[j], b = corner[i];
		nearest = fminf(nearest, stroke(p, a.x, a.y, b.x, b.y, 0));
		if ((a.y > p->y) != (b.y > p->y) && p->x < a.x + (p->y - a.y) / (b.y - a.y) * (b.x - a.x))
			inside = !inside;
	}
	return inside ? -nearest : nearest;
}

#define POLYGON(p, ...) \
	polygon(p, (const struct point[]){__VA_ARGS__}, (int)(sizeof((const struct point[]){__VA_ARGS__}) / sizeof(struct point)))

static float either(float a, float b)
{
	return fminf(a, b);
}

static float both(float a, float b)
{
	return fmaxf(a, b);
}

static float without(float a, float b)
{
	return fmaxf(a, -b);
}

/* --- plain shapes --- */

static void circle(struct scene_pen *p)
{
	scene_pen_fill(p, disc(p, 0, 0, 0.95f));
}

static void square(struct scene_pen *p)
{
	scene_pen_fill(p, box(p, 0, 0, 0.82f, 0.82f, 0));
}

static void triangle(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {0, -0.92f}, {0.95f, 0.75f}, {-0.95f, 0.75f}));
}

static void star(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {0, -0.95f}, {0.247f, -0.29f}, {0.951f, -0.259f}, {0.399f, 0.18f}, {0.588f, 0.859f}, {0, 0.47f},
				  {-0.588f, 0.859f}, {-0.399f, 0.18f}, {-0.951f, -0.259f}, {-0.247f, -0.29f}));
}

static void heart(struct scene_pen *p)
{
	float lobes = either(disc(p, 0.44f, -0.34f, 0.5f), disc(p, -0.44f, -0.34f, 0.5f));

	/* The point's sides touch the lobes. */
	float point = POLYGON(p, {0, 0.92f}, {0.816f, -0.01f}, {0.44f, -0.34f}, {0, -0.57f}, {-0.44f, -0.34f}, {-0.816f, -0.01f});
	scene_pen_fill(p, either(lobes, point));
}

static void diamond(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {0, -0.97f}, {0.68f, 0}, {0, 0.97f}, {-0.68f, 0}));
}

static void hexagon(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {0.95f, 0}, {0.475f, 0.823f}, {-0.475f, 0.823f}, {-0.95f, 0}, {-0.475f, -0.823f}, {0.475f, -0.823f}));
}

static void ring(struct scene_pen *p)
{
	scene_pen_fill(p, without(disc(p, 0, 0, 0.95f), disc(p, 0, 0, 0.55f)));
}

static void cross(struct scene_pen *p)
{
	scene_pen_fill(p, either(box(p, 0, 0, 0.3f, 0.9f, 0), box(p, 0, 0, 0.9f, 0.3f, 0)));
}

static void moon(struct scene_pen *p)
{
	scene_pen_fill(p, without(disc(p, -0.05f, 0, 0.92f), disc(p, 0.42f, -0.16f, 0.74f)));
}

/* --- things --- */

static void house(struct scene_pen *p)
{
	scene_pen_tint(p, roof_brown, box(p, 0.42f, -0.62f, 0.11f, 0.25f, 0));
	scene_pen_fill(p, box(p, 0, 0.32f, 0.7f, 0.58f, 0));
	scene_pen_tint(p, roof_brown, POLYGON(p, {0, -0.95f}, {0.93f, -0.2f}, {-0.93f, -0.2f}));
	scene_pen_tint(p, wood, box(p, 0.3f, 0.56f, 0.17f, 0.34f, 0));
	scene_pen_tint(p, glass, box(p, -0.3f, 0.3f, 0.2f, 0.2f, 0));
}

static void tree(struct scene_pen *p)
{
	scene_pen_tint(p, wood, POLYGON(p, {-0.1f, 0}, {0.1f, 0}, {0.17f, 0.95f}, {-0.17f, 0.95f}));
	float crown = either(disc(p, 0, -0.5f, 0.44f), either(disc(p, -0.4f, -0.08f, 0.4f), disc(p, 0.4f, -0.08f, 0.4f)));
	scene_pen_fill(p, either(crown, disc(p, 0, -0.02f, 0.42f)));
}

static void sun(struct scene_pen *p)
{
	float rays = 1e9f;

	for (int i = 0; i < 8; i++) {
		float c = cosf((float)i * 0.7853982f), s = sinf((float)i * 0.7853982f);
		rays = either(rays, stroke(p, 0.72f * c, 0.72f * s, 0.92f * c, 0.92f * s, 0.07f));
	}
	scene_pen_fill(p, rays);
	scene_pen_fill(p, disc(p, 0, 0, 0.56f));
}

static void boat(struct scene_pen *p)
{
	scene_pen_tint(p, wood, stroke(p, 0, -0.9f, 0, 0.4f, 0.045f));
	scene_pen_tint(p, cream, POLYGON(p, {0.08f, -0.85f}, {0.75f, 0.2f}, {0.08f, 0.2f}));
	scene_pen_tint(p, cream, POLYGON(p, {-0.08f, -0.6f}, {-0.08f, 0.2f}, {-0.6f, 0.2f}));
	scene_pen_fill(p, POLYGON(p, {-0.95f, 0.36f}, {0.95f, 0.36f}, {0.6f, 0.88f}, {-0.6f, 0.88f}));
}

static void fish(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {0.4f, 0}, {0.95f, -0.46f}, {0.82f, 0}, {0.95f, 0.46f}));
	scene_pen_fill(p, POLYGON(p, {-0.25f, -0.3f}, {0.25f, -0.64f}, {0.25f, -0.2f}));
	scene_pen_fill(p, ellipse(p, -0.2f, 0, 0.74f, 0.46f));
	scene_pen_tint(p, cream, disc(p, -0.56f, -0.12f, 0.12f));
	scene_pen_tint(p, dark, disc(p, -0.58f, -0.12f, 0.04f));
}

static void car(struct scene_pen *p)
{
	scene_pen_fill(p, POLYGON(p, {-0.5f, 0}, {-0.34f, -0.5f}, {0.3f, -0.5f}, {0.58f, 0}));
	scene_pen_tint(p, glass, POLYGON(p, {-0.36f, -0.04f}, {-0.26f, -0.38f}, {-0.04f, -0.38f}, {-0.04f, -0.04f}));
	scene_pen_tint(p, glass, POLYGON(p, {0.06f, -0.04f}, {0.06f, -0.38f}, {0.24f, -0.38f}, {0.43f, -0.04f}));
	scene_pen_fill(p, box(p, 0, 0.2f, 0.95f, 0.26f, 0.13f));
	for (int i = -1; i <= 1; i += 2) {
		scene_pen_tint(p, dark, disc(p, 0.52f * (float)i, 0.46f, 0.23f));
		scene_pen_tint(p, cream, disc(p, 0.52f * (float)i, 0.46f, 0.09f));
	}
}

static void flower(struct scene_pen *p)
{
	scene_pen_tint(p, leaf_green, stroke(p, 0, 0, 0, 0.93f, 0.05f));
	scene_pen_tint(p, leaf_green, ellipse(p, 0.24f, 0.66f, 0.24f, 0.1f));
	for (int i = 0; i < 6; i++)
		scene_pen_fill(p, disc(p, 0.38f * cosf((float)i * 1.0471976f), -0.3f + 0.38f * sinf((float)i * 1.0471976f), 0.25f));
	scene_pen_tint(p, sunny, disc(p, 0, -0.3f, 0.22f));
}

static void mushroom(struct scene_pen *p)
{
	scene_pen_tint(p, cream, box(p, 0, 0.4f, 0.26f, 0.5f, 0.16f));
	scene_pen_fill(p, both(ellipse(p, 0, 0.1f, 0.92f, 0.95f), box(p, 0, -0.4f, 1, 0.5f, 0)));
	scene_pen_tint(p, cream, disc(p, 0, -0.5f, 0.16f));
	scene_pen_tint(p, cream, disc(p, -0.46f, -0.2f, 0.13f));
	scene_pen_tint(p, cream, disc(p, 0.46f, -0.2f, 0.13f));
}

static void cup(struct scene_pen *p)
{
	scene_pen_fill(p, without(disc(p, 0.52f, 0.05f, 0.4f), disc(p, 0.52f, 0.05f, 0.24f)));
	scene_pen_fill(p, POLYGON(p, {-0.8f, -0.6f}, {0.54f, -0.6f}, {0.4f, 0.8f}, {-0.66f, 0.8f}));
	scene_pen_tint(p, wood, ellipse(p, -0.13f, -0.6f, 0.67f, 0.16f));
}

static void balloon(struct scene_pen *p)
{
	scene_pen_tint(p, dark, stroke(p, 0, 0.5f, 0.1f, 0.95f, 0.015f));
	scene_pen_fill(p, POLYGON(p, {0, 0.36f}, {0.13f, 0.56f}, {-0.13f, 0.56f}));
	scene_pen_fill(p, ellipse(p, 0, -0.26f, 0.58f, 0.7f));
	scene_pen_tint(p, cream, ellipse(p, -0.24f, -0.54f, 0.08f, 0.13f));
}

static void butterfly(struct scene_pen *p)
{
	for (int i = -1; i <= 1; i += 2) {
		float side = (float)i;
		scene_pen_fill(p, ellipse(p, 0.4f * side, 0.42f, 0.34f, 0.36f));
		scene_pen_fill(p, ellipse(p, 0.5f * side, -0.3f, 0.45f, 0.46f));
		scene_pen_tint(p, dark, stroke(p, 0, -0.55f, 0.22f * side, -0.9f, 0.025f));
	}
	scene_pen_tint(p, dark, ellipse(p, 0, 0, 0.1f, 0.66f));
}

static void umbrella(struct scene_pen *p)
{
	scene_pen_tint(p, wood, stroke(p, 0, -0.9f, 0, 0.75f, 0.045f));
	float hook = without(disc(p, 0.16f, 0.75f, 0.2f), disc(p, 0.16f, 0.75f, 0.11f));
	scene_pen_tint(p, wood, both(hook, box(p, 0.16f, 0.95f, 0.3f, 0.2f, 0)));
	float canopy = both(disc(p, 0, 0.02f, 0.9f), box(p, 0, -0.5f, 1, 0.52f, 0));
	for (int i = -1; i <= 1; i++)
		canopy = without(canopy, ellipse(p, 0.6f * (float)i, 0.04f, 0.3f, 0.14f));
	scene_pen_fill(p, canopy);
}

static void apple(struct scene_pen *p)
{
	float body = either(ellipse(p, -0.28f, 0.16f, 0.52f, 0.7f), ellipse(p, 0.28f, 0.16f, 0.52f, 0.7f));

	scene_pen_fill(p, body);
	scene_pen_tint(p, wood, stroke(p, 0, -0.4f, 0.08f, -0.85f, 0.05f));
	scene_pen_tint(p, leaf_green, both(disc(p, 0.3f, -0.45f, 0.32f), disc(p, 0.42f, -0.92f, 0.32f)));
}

static void rocket(struct scene_pen *p)
{
	scene_pen_tint(p, flame, POLYGON(p, {-0.2f, 0.55f}, {0.2f, 0.55f}, {0, 0.98f}));
	scene_pen_tint(p, dark, POLYGON(p, {-0.2f, 0.1f}, {-0.6f, 0.75f}, {-0.2f, 0.55f}));
	scene_pen_tint(p, dark, POLYGON(p, {0.2f, 0.1f}, {0.6f, 0.75f}, {0.2f, 0.55f}));
	scene_pen_fill(p, both(both(disc(p, -0.62f, 0.12f, 0.96f), disc(p, 0.62f, 0.12f, 0.96f)), box(p, 0, -0.2f, 1, 0.8f, 0)));
	scene_pen_tint(p, glass, disc(p, 0, -0.12f, 0.15f));
}

static void leaf(struct scene_pen *p)
{
	scene_pen_fill(p, both(disc(p, -0.52f, -0.08f, 1), disc(p, 0.52f, -0.08f, 1)));
	scene_pen_tint(p, wood, stroke(p, 0, -0.5f, 0, 0.95f, 0.03f));
	for (int i = 0; i < 2; i++) {
		float y = -0.15f + 0.35f * (float)i;
		scene_pen_tint(p, wood, either(stroke(p, 0, y, 0.26f, y - 0.18f, 0.015f), stroke(p, 0, y, -0.26f, y - 0.18f, 0.015f)));
	}
}

static void cat(struct scene_pen *p)
{
	float left_ear = POLYGON(p, {-0.72f, -0.92f}, {-0.12f, -0.5f}, {-0.7f, -0.1f});
	float right_ear = POLYGON(p, {0.72f, -0.92f}, {0.12f, -0.5f}, {0.7f, -0.1f});

	scene_pen_fill(p, either(either(left_ear, right_ear), ellipse(p, 0, 0.1f, 0.82f, 0.72f)));
	for (int i = -1; i <= 1; i += 2) {
		float side = (float)i;
		scene_pen_tint(p, cream, ellipse(p, 0.32f * side, -0.06f, 0.16f, 0.18f));
		scene_pen_tint(p, dark, ellipse(p, 0.32f * side, -0.06f, 0.05f, 0.13f));
		scene_pen_tint(p, dark, stroke(p, 0.3f * side, 0.36f, 0.92f * side, 0.28f, 0.012f));
		scene_pen_tint(p, dark, stroke(p, 0.3f * side, 0.44f, 0.9f * side, 0.52f, 0.012f));
	}
	scene_pen_tint(p, (struct rgb){240, 150, 160}, POLYGON(p, {-0.1f, 0.26f}, {0.1f, 0.26f}, {0, 0.4f}));
}

typedef void (*shape_function)(struct scene_pen *pen);

static const shape_function shapes[SCENE_SHAPES] = {
	[SHAPE_CIRCLE] = circle, [SHAPE_SQUARE] = square, [SHAPE_TRIANGLE] = triangle, [SHAPE_STAR] = star, [SHAPE_HEART] = heart,
	[SHAPE_DIAMOND] = diamond, [SHAPE_HEXAGON] = hexagon, [SHAPE_RING] = ring, [SHAPE_CROSS] = cross, [SHAPE_MOON] = moon,
	[SHAPE_HOUSE] = house, [SHAPE_TREE] = tree, [SHAPE_SUN] = sun, [SHAPE_BOAT] = boat, [SHAPE_FISH] = fish, [SHAPE_CAR] = car,
	[SHAPE_FLOWER] = flower, [SHAPE_MUSHROOM] = mushroom, [SHAPE_CUP] = cup, [SHAPE_BALLOON] = balloon,
	[SHAPE_BUTTERFLY] = butterfly, [SHAPE_UMBRELLA] = umbrella, [SHAPE_APPLE] = apple, [SHAPE_ROCKET] = rocket,
	[SHAPE_LEAF] = leaf, [SHAPE_CAT] = cat,
};

void scene_shape_paint(enum scene_shape shape, struct scene_pen *pen)
{
	shapes[shape](pen);
}
