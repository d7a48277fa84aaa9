/* scenes.h: pictures of our own with captions, drawn from a seed: things to index, test and demonstrate with where there are
 * no photographs. One kind of thing (one to four of it, somewhere), or two things in a relation, on a background.
 *
 *     struct scene scene;
 *     char caption[SCENE_CAPTION_MOST];
 *     scene_random(&scene, 42, false);
 *     scene_caption(&scene, 0, caption);               // "a large red star to the left of a blue house on a meadow"
 *     scene_draw(&scene, 224, 224, rgb);
 *
 * The same seed gives the same scene, caption and pixels. Two words in a relation have another shape and another colour, so
 * that scene_swap yields a picture whose caption has the same words and another meaning.
 */
#ifndef TESTS_SCENES_SCENES_H
#define TESTS_SCENES_SCENES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

enum scene_shape {
	SHAPE_CIRCLE, SHAPE_SQUARE, SHAPE_TRIANGLE, SHAPE_STAR, SHAPE_HEART, SHAPE_DIAMOND, SHAPE_HEXAGON,
	SHAPE_RING, SHAPE_CROSS, SHAPE_MOON, SHAPE_HOUSE, SHAPE_TREE, SHAPE_SUN, SHAPE_BOAT, SHAPE_FISH, SHAPE_CAR,
	SHAPE_FLOWER, SHAPE_MUSHROOM, SHAPE_CUP, SHAPE_BALLOON, SHAPE_BUTTERFLY, SHAPE_UMBRELLA, SHAPE_APPLE,
	SHAPE_ROCKET, SHAPE_LEAF, SHAPE_CAT,
	SCENE_SHAPES,
	SCENE_HOLDERS = SHAPE_HEXAGON + 1, /* the first ones are large and whole enough to hold another */
};

enum scene_colour {
	COLOUR_RED, COLOUR_ORANGE, COLOUR_YELLOW, COLOUR_GREEN, COLOUR_TURQUOISE, COLOUR_BLUE, COLOUR_PURPLE, COLOUR_PINK,
	COLOUR_BROWN, COLOUR_BLACK, COLOUR_GRAY, COLOUR_WHITE,
	SCENE_COLOURS,
};

enum scene_texture { TEXTURE_PLAIN, TEXTURE_STRIPED, TEXTURE_DOTTED, TEXTURE_CHECKED, SCENE_TEXTURES };
enum scene_size { SIZE_SMALL, SIZE_MEDIUM, SIZE_LARGE, SCENE_SIZES }; /* medium goes without saying */

/* Of object 0 to object 1. */
enum scene_relation {
	RELATION_NONE, /* a single kind of thing */
	RELATION_LEFT, RELATION_RIGHT, RELATION_ABOVE, RELATION_BELOW, RELATION_INSIDE, RELATION_AROUND,
	SCENE_RELATIONS,
};

enum scene_position { /* rows of three; only of a single thing */
	POSITION_TOP_LEFT, POSITION_TOP, POSITION_TOP_RIGHT, POSITION_LEFT, POSITION_MIDDLE, POSITION_RIGHT,
	POSITION_BOTTOM_LEFT, POSITION_BOTTOM, POSITION_BOTTOM_RIGHT,
	SCENE_POSITIONS,
};

enum scene_background {
	BACKGROUND_PLAIN, BACKGROUND_GRADIENT, BACKGROUND_MEADOW, BACKGROUND_NIGHT, BACKGROUND_SEA, BACKGROUND_SNOW,
	BACKGROUND_BEACH, BACKGROUND_NOISE, BACKGROUND_ROOM,
	SCENE_BACKGROUNDS,
};

enum { SCENE_OBJECTS_MOST = 2, SCENE_COUNT_MOST = 4, SCENE_PHRASINGS = 4, SCENE_SHORT = 3, SCENE_CAPTION_MOST = 256 };

struct scene_place {
	float x, y, radius; /* of the picture's sides, and of its shorter one */
	float tilt;         /* radians */
};

struct scene_object {
	enum scene_shape shape;
	enum scene_colour colour;
	enum scene_texture texture;
	enum scene_size size;
	size_t count;
	struct scene_place places[SCENE_COUNT_MOST];
};

struct scene {
	uint64_t seed;
	size_t objects; /* 1, or 2 in a relation */
	struct scene_object object[SCENE_OBJECTS_MOST];
	enum scene_relation relation;
	enum scene_position position;             /* when one thing is alone */
	enum scene_background background;
	enum scene_colour background_colour;      /* of a plain one and a gradient */
};

const char *scene_shape_name(enum scene_shape shape);
const char *scene_colour_name(enum scene_colour colour);

/* Some pairs of colour and shape are kept back for benchmarks: they are in no scene that is not asked for with heldout, nor
 * in its swapped twin; with heldout, object 0 is always such a pair. */
bool scene_heldout(enum scene_colour colour, enum scene_shape shape);

void scene_random(struct scene *scene, uint64_t seed, bool heldout);

/* One of SCENE_PHRASINGS ways to say it (phrasing is taken modulo that). SCENE_SHORT is as people search: neither where a single thing is
 * nor what is behind it. */
void scene_caption(const struct scene *scene, size_t phrasing, char caption[SCENE_CAPTION_MOST]);

/* The same scene with the two things' colours, or their places, exchanged; false, and an equal scene, where there are no two objects.
 * The caption of the result, in the same phrasing, has the same words in another order ("a" and "an" aside). */
enum scene_swapping { SWAP_COLOURS, SWAP_PLACES };
bool scene_swap(const struct scene *scene, enum scene_swapping what, struct scene *swapped);

/* rgb[height,width,3] */
void scene_draw(const struct scene *scene, size_t width, size_t height, uint8_t *rgb);

struct scenes_options {
	size_t count, first; /* scenes, numbered from first: scene number i depends on seed and i alone */
	uint64_t seed;
	size_t side;
	bool heldout;
	bool pairs;          /* count scenes of two things, each with its swapped twin: by colours and by places in turns */
};

/* Writes scenes as NNNNNN.jpg of side x side and NNNNNN.txt (two captions, one a line), or as pairs: NNNNNN-a.jpg, NNNNNN-a.txt (one
 * caption), NNNNNN-b.jpg, NNNNNN-b.txt: into a folder, or into a WebDataset tar if path ends in .tar, .tar.gz or .tgz. */
enum status scenes_write(const char *path, const struct scenes_options *options, struct err *err);

#endif
