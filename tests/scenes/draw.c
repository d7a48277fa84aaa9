/* draw.c: a scene's pixels: the background, then each object over it, pixel by pixel. */
#include <math.h>

#include "tests/scenes/paint.h"

#include "schema/base/banned.h"

static const struct rgb colours[SCENE_COLOURS] = {
	[COLOUR_RED] = {214, 40, 40}, [COLOUR_ORANGE] = {245, 130, 32}, [COLOUR_YELLOW] = {250, 214, 44}, [COLOUR_GREEN] = {46, 150, 62},
	[COLOUR_TURQUOISE] = {48, 200, 192}, [COLOUR_BLUE] = {40, 82, 206}, [COLOUR_PURPLE] = {126, 52, 168},
	[COLOUR_PINK] = {246, 132, 184},
	[COLOUR_BROWN] = {128, 82, 46}, [COLOUR_BLACK] = {28, 28, 32}, [COLOUR_GRAY] = {134, 138, 144}, [COLOUR_WHITE] = {250, 250, 248},
};

static const struct rgb white = {252, 252, 250}, black = {26, 26, 30};

static struct rgb mix(struct rgb a, struct rgb b, float share)
{
	return (struct rgb){a.r + (b.r - a.r) * share, a.g + (b.g - a.g) * share, a.b + (b.b - a.b) * share};
}

static struct rgb shade(struct rgb c, float factor)
{
	return (struct rgb){c.r * factor, c.g * factor, c.b * factor};
}

static float clamp(float v, float low, float high)
{
	return v < low ? low : v > high ? high : v;
}

/* How much of a pixel lies where distance is negative. */
static float cover(float distance, float pixel)
{
	return clamp(0.5f - distance / pixel, 0, 1);
}

/* 0 to 1 for a lattice point, the same for the same seed. */
static float chance(uint64_t seed, uint32_t x, uint32_t y)
{
	uint64_t z = seed + x * 0x9e3779b97f4a7c15u + y * 0xc2b2ae3d27d4eb4fu;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (float)((z ^ z >> 31) >> 40) / (float)(1 << 24);
}

/* --- the pen --- */

/* How far the second colour of the texture has replaced the first here. */
static float texture_share(const struct scene_pen *pen)
{
	float x = pen->x * pen->repeat, y = pen->y * pen->repeat, pixel = pen->pixel * pen->repeat;
	float u = x - floorf(x) - 0.5f, v = y - floorf(y) - 0.5f;

	switch (pen->texture) {
	case TEXTURE_STRIPED:
		u = (x + y) * 0.8f;
		return cover(fabsf(u - floorf(u) - 0.5f) - 0.25f, pixel);
	case TEXTURE_DOTTED:
		return cover(hypotf(u, v) - 0.27f, pixel);
	case TEXTURE_CHECKED: {
		float across = cover(fabsf(u) - 0.25f, pixel), down = cover(fabsf(v) - 0.25f, pixel);
		return across + down - 2 * across * down;
	}
	default:
		return 0;
	}
}

static void paint(struct scene_pen *pen, struct rgb colour, float distance)
{
	const float line = 0.035f;
	float reach = cover(distance - line, pen->pixel);

	if (reach <= 0)
		return;
	/* Light falls from the upper left. */
	float light = 1.04f - 0.09f * (pen->x + pen->y);
	pen->at = mix(pen->at, shade(colour, 0.45f), reach);
	pen->at = mix(pen->at, shade(colour, light), cover(distance, pen->pixel));
}

void scene_pen_fill(struct scene_pen *pen, float distance)
{
	paint(pen, pen->texture == TEXTURE_PLAIN ? pen->main : mix(pen->main, pen->mark, texture_share(pen)), distance);
}

void scene_pen_tint(struct scene_pen *pen, struct rgb colour, float distance)
{
	paint(pen, colour, distance);
}

/* --- backgrounds: u and v in 0..1 from the upper left --- */

struct spot {
	const struct scene *scene;
	uint32_t x, y;
	float u, v, pixel;
};

static struct rgb backdrop(const struct spot *s)
{
	return mix(colours[s->scene->background_colour], white, 0.1f);
}

static struct rgb gradient(const struct spot *s)
{
	return mix(backdrop(s), white, s->v);
}

static struct rgb sky(const struct spot *s)
{
	return mix((struct rgb){104, 172, 236}, (struct rgb){206, 230, 248}, s->v);
}

static struct rgb grain(const struct spot *s, struct rgb colour, float amount)
{
	return shade(colour, 1 + amount * (chance(s->scene->seed, s->x, s->y) - 0.5f));
}

static struct rgb meadow(const struct spot *s)
{
	float phase = 6 * chance(s->scene->seed, 1, 2), ridge = 0.55f + 0.04f * sinf(5 * s->u + phase);
	struct rgb grass = grain(s, mix((struct rgb){150, 200, 96}, (struct rgb){78, 150, 58}, 2 * (s->v - 0.5f)), 0.16f);

	return mix(sky(s), grass, cover(ridge - s->v, s->pixel));
}

static struct rgb night(const struct spot *s)
{
	enum { CELLS = 14 }; /* one star at most in each */
	struct rgb dark = mix((struct rgb){10, 14, 44}, (struct rgb){40, 46, 98}, s->v);
	uint32_t column = (uint32_t)(s->u * CELLS), row = (uint32_t)(s->v * CELLS);
	uint64_t seed = s->scene->seed;
	float x = ((float)column + 0.2f + 0.6f * chance(seed, column, row)) / CELLS;
	float y = ((float)row + 0.2f + 0.6f * chance(seed + 1, column, row)) / CELLS;
	float size = chance(seed + 2, column, row) - 0.55f;

	if (size <= 0)
		return dark;
	return mix(dark, (struct rgb){255, 250, 220}, cover(hypotf(s->u - x, s->v - y) - 0.01f * size - 0.002f, fmaxf(s->pixel, 0.004f)));
}

static struct rgb sea(const struct spot *s)
{
	float depth = (s->v - 0.4f) / 0.6f;
	struct rgb water = mix((struct rgb){84, 164, 206}, (struct rgb){22, 84, 150}, clamp(depth, 0, 1));
	float wave = sinf(60 * sqrtf(fmaxf(depth, 0)) + 1.5f * sinf(9 * s->u + 6 * chance(s->scene->seed, 3, 1)));

	water = mix(water, white, 0.22f * clamp(wave - 0.6f, 0, 1));
	return mix(sky(s), water, cover(0.4f - s->v, s->pixel));
}

static struct rgb snow(const struct spot *s)
{
	float ridge = 0.5f + 0.05f * sinf(4 * s->u + 6 * chance(s->scene->seed, 1, 2));
	struct rgb ground = mix((struct rgb){250, 252, 255}, (struct rgb){212, 224, 240}, s->v);

	return mix(mix((struct rgb){150, 176, 206}, (struct rgb){214, 224, 236}, s->v), ground, cover(ridge - s->v, s->pixel));
}

static struct rgb beach(const struct spot *s)
{
	float shore = 0.5f + 0.02f * sinf(8 * s->u + 6 * chance(s->scene->seed, 1, 2));
	struct rgb water = mix((struct rgb){70, 170, 214}, (struct rgb){140, 214, 222}, (s->v - 0.32f) * 5);
	struct rgb sand = grain(s, mix((struct rgb){240, 216, 160}, (struct rgb){222, 186, 124}, s->v), 0.1f);
	struct rgb far_off = mix(sky(s), water, cover(0.32f - s->v, s->pixel));

	far_off = mix(far_off, white, cover(fabsf(s->v - shore) - 0.012f, s->pixel));
	return mix(far_off, sand, cover(shore - s->v, s->pixel));
}

static struct rgb noise(const struct spot *s)
{
	uint64_t seed = s->scene->seed;
	float r = chance(seed, s->x, s->y), g = chance(seed + 1, s->x, s->y), b = chance(seed + 2, s->x, s->y);

	return (struct rgb){96 + 80 * r, 96 + 80 * g, 96 + 80 * b};
}

static struct rgb room(const struct spot *s)
{
	float depth = (s->v - 0.62f) / 0.38f, board = (s->u - 0.5f) / (0.5f + fmaxf(depth, 0)) * 9 + 20;
	struct rgb wood = mix((struct rgb){170, 118, 70}, (struct rgb){196, 142, 88}, chance(s->scene->seed, (uint32_t)board, 0));
	struct rgb wall = mix((struct rgb){232, 222, 204}, (struct rgb){214, 200, 180}, s->v);

	wood = mix(wood, shade(wood, 0.6f), cover(fabsf(board - floorf(board) - 0.5f) * -1 + 0.47f, 9 * s->pixel));
	wall = mix(wall, white, cover(fabsf(s->v - 0.6f) - 0.02f, s->pixel));
	return mix(wall, wood, cover(0.62f - s->v, s->pixel));
}

typedef struct rgb (*background_function)(const struct spot *spot);

static const background_function backgrounds[SCENE_BACKGROUNDS] = {
	[BACKGROUND_PLAIN] = backdrop, [BACKGROUND_GRADIENT] = gradient, [BACKGROUND_MEADOW] = meadow, [BACKGROUND_NIGHT] = night,
	[BACKGROUND_SEA] = sea, [BACKGROUND_SNOW] = snow, [BACKGROUND_BEACH] = beach, [BACKGROUND_NOISE] = noise, [BACKGROUND_ROOM] = room,
};

/* --- the whole --- */

static void put(uint8_t *to, struct rgb c)
{
	to[0] = (uint8_t)(clamp(c.r, 0, 255) + 0.5f);
	to[1] = (uint8_t)(clamp(c.g, 0, 255) + 0.5f);
	to[2] = (uint8_t)(clamp(c.b, 0, 255) + 0.5f);
}

static void draw_object(const struct scene_object *object, const struct scene_place *place, size_t width, size_t height, uint8_t *rgb)
{
	float side = (float)(width < height ? width : height), radius = place->radius * side, reach = 1.45f * radius + 1;
	float cx = place->x * (float)width, cy = place->y * (float)height, c = cosf(place->tilt), s = sinf(place->tilt);
	struct scene_pen pen = {.pixel = 1 / radius, .texture = object->texture, .main = colours[object->colour]};
	bool light = object->colour == COLOUR_WHITE || object->colour == COLOUR_YELLOW || object->colour == COLOUR_GRAY;

	pen.mark = light ? black : white;
	pen.repeat = place->radius < 0.12f ? 2 : 3; /* coarser where it would not be seen */
	size_t left = (size_t)clamp(cx - reach, 0, (float)width), right = (size_t)clamp(cx + reach + 1, 0, (float)width);
	size_t top = (size_t)clamp(cy - reach, 0, (float)height), bottom = (size_t)clamp(cy + reach + 1, 0, (float)height);
	for (size_t y = top; y < bottom; y++)
		for (size_t x = left; x < right; x++) {
			uint8_t *to = rgb + 3 * (y * width + x);
			float dx = ((float)x + 0.5f - cx) / radius, dy = ((float)y + 0.5f - cy) / radius;
			pen.x = c * dx + s * dy;
			pen.y = c * dy - s * dx;
			pen.at = (struct rgb){to[0], to[1], to[2]};
			scene_shape_paint(object->shape, &pen);
			put(to, pen.at);
		}
}

void scene_draw(const struct scene *scene, size_t width, size_t height, uint8_t *rgb)
{
	struct spot spot = {.scene = scene, .pixel = 1 / (float)height};

	for (size_t y = 0; y < height; y++)
		for (size_t x = 0; x < width; x++) {
			spot.x = (uint32_t)x;
			spot.y = (uint32_t)y;
			spot.u = ((float)x + 0.5f) / (float)width;
			spot.v = ((float)y + 0.5f) / (float)height;
			put(rgb + 3 * (y * width + x), backgrounds[scene->background](&spot));
		}
	/* What holds another comes first. */
	bool holds = scene->relation == RELATION_INSIDE;
	for (size_t i = 0; i < scene->objects; i++) {
		const struct scene_object *object = &scene->object[holds ? scene->objects - 1 - i : i];
		for (size_t k = 0; k < object->count; k++)
			draw_object(object, &object->places[k], width, height, rgb);
	}
}
