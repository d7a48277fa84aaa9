/* scenes.c: see scenes.h. Here scenes are thought up, described and written; draw.c draws them. */
#include "tests/scenes/scenes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/image.h"
#include "schema/base/file.h"
#include "schema/base/memory.h"
#include "schema/base/random.h"
#include "tests/scenes/shard_writer.h"

#include "schema/base/banned.h"

enum { JPEG_QUALITY = 90 };

/* --- words --- */

static const struct {
	const char *one, *many;
} shape_names[SCENE_SHAPES] = {
	[SHAPE_CIRCLE] = {"circle", "circles"}, [SHAPE_SQUARE] = {"square", "squares"}, [SHAPE_TRIANGLE] = {"triangle", "triangles"},
	[SHAPE_STAR] = {"star", "stars"}, [SHAPE_HEART] = {"heart", "hearts"}, [SHAPE_DIAMOND] = {"diamond", "diamonds"},
	[SHAPE_HEXAGON] = {"hexagon", "hexagons"}, [SHAPE_RING] = {"ring", "rings"}, [SHAPE_CROSS] = {"cross", "crosses"},
	[SHAPE_MOON] = {"moon", "moons"}, [SHAPE_HOUSE] = {"house", "houses"}, [SHAPE_TREE] = {"tree", "trees"},
	[SHAPE_SUN] = {"sun", "suns"}, [SHAPE_BOAT] = {"boat", "boats"}, [SHAPE_FISH] = {"fish", "fish"}, [SHAPE_CAR] = {"car", "cars"},
	[SHAPE_FLOWER] = {"flower", "flowers"}, [SHAPE_MUSHROOM] = {"mushroom", "mushrooms"}, [SHAPE_CUP] = {"cup", "cups"},
	[SHAPE_BALLOON] = {"balloon", "balloons"}, [SHAPE_BUTTERFLY] = {"butterfly", "butterflies"},
	[SHAPE_UMBRELLA] = {"umbrella", "umbrellas"}, [SHAPE_APPLE] = {"apple", "apples"}, [SHAPE_ROCKET] = {"rocket", "rockets"},
	[SHAPE_LEAF] = {"leaf", "leaves"}, [SHAPE_CAT] = {"cat", "cats"},
};

static const char *const colour_names[SCENE_COLOURS] = {
	[COLOUR_RED] = "red", [COLOUR_ORANGE] = "orange", [COLOUR_YELLOW] = "yellow", [COLOUR_GREEN] = "green",
	[COLOUR_TURQUOISE] = "turquoise", [COLOUR_BLUE] = "blue", [COLOUR_PURPLE] = "purple", [COLOUR_PINK] = "pink",
	[COLOUR_BROWN] = "brown", [COLOUR_BLACK] = "black", [COLOUR_GRAY] = "gray", [COLOUR_WHITE] = "white",
};

static const char *const texture_names[SCENE_TEXTURES] = {"", "striped ", "dotted ", "checked "};
static const char *const size_names[SCENE_SIZES] = {"small ", "", "large "};
static const char *const count_names[SCENE_COUNT_MOST + 1] = {"no", "one", "two", "three", "four"};

static const char *const position_names[SCENE_POSITIONS] = {
	"at the top left", "at the top", "at the top right", "on the left", "in the middle", "on the right",
	"at the bottom left", "at the bottom", "at the bottom right",
};

static const struct {
	const char *between; /* A ... B */
	const char *behind;  /* B with A ... */
} relations[SCENE_RELATIONS] = {
	[RELATION_NONE] = {"", ""},
	[RELATION_LEFT] = {"to the left of", "on its left"},
	[RELATION_RIGHT] = {"to the right of", "on its right"},
	[RELATION_ABOVE] = {"above", "above it"},
	[RELATION_BELOW] = {"below", "below it"},
	[RELATION_INSIDE] = {"inside", "inside it"},
	[RELATION_AROUND] = {"around", "around it"},
};

/* %s: "a" or "an", and the colour. clashes: a mask of colours that would hardly be seen there. */
static const struct {
	const char *place;
	unsigned clashes;
} backgrounds[SCENE_BACKGROUNDS] = {
	[BACKGROUND_PLAIN] = {"on %s background", 0},
	[BACKGROUND_GRADIENT] = {"on %s background that fades to white", 1u << COLOUR_WHITE},
	[BACKGROUND_MEADOW] = {"on a green meadow under a blue sky", 1u << COLOUR_GREEN | 1u << COLOUR_BLUE | 1u << COLOUR_TURQUOISE},
	[BACKGROUND_NIGHT] = {"under the stars at night", 1u << COLOUR_BLACK | 1u << COLOUR_BLUE},
	[BACKGROUND_SEA] = {"on the sea", 1u << COLOUR_BLUE | 1u << COLOUR_TURQUOISE},
	[BACKGROUND_SNOW] = {"in the snow", 1u << COLOUR_WHITE},
	[BACKGROUND_BEACH] = {"on a sandy beach", 1u << COLOUR_YELLOW | 1u << COLOUR_BLUE},
	[BACKGROUND_NOISE] = {"on a noisy background", 1u << COLOUR_GRAY},
	[BACKGROUND_ROOM] = {"in a room with a wooden floor", 1u << COLOUR_BROWN},
};

const char *scene_shape_name(enum scene_shape shape)
{
	return shape_names[shape].one;
}

const char *scene_colour_name(enum scene_colour colour)
{
	return colour_names[colour];
}

static const char *article(const char *word)
{
	return strchr("aeiou", word[0]) ? "an" : "a";
}

/* "a large red striped star", "three small blue fish" */
static void name_object(struct buffer *to, const struct scene_object *object)
{
	char rest[128];
	bool many = object->count > 1;

	snprintf(rest, sizeof rest, "%s%s %s%s", size_names[object->size], colour_names[object->colour], texture_names[object->texture],
		 many ? shape_names[object->shape].many : shape_names[object->shape].one);
	buffer_format(to, "%s %s", many ? count_names[object->count] : article(rest), rest);
}

static void name_pair(struct buffer *to, const struct scene *scene, bool turned)
{
	const struct scene_object *a = &scene->object[0], *b = &scene->object[1];

	name_object(to, turned ? b : a);
	buffer_format(to, " %s ", turned ? "with" : relations[scene->relation].between);
	name_object(to, turned ? a : b);
	if (turned)
		buffer_format(to, " %s", relations[scene->relation].behind);
}

void scene_caption(const struct scene *scene, size_t phrasing, char caption[SCENE_CAPTION_MOST])
{
	struct buffer text = {0};
	const char *place = backgrounds[scene->background].place, *mark = strstr(place, "%s");
	const char *colour = colour_names[scene->background_colour];

	phrasing %= SCENE_PHRASINGS;
	if (phrasing == 1)
		buffer_text(&text, "a picture of ");
	if (scene->objects > 1) {
		name_pair(&text, scene, phrasing == 2);
	} else {
		if (phrasing == 2)
			buffer_text(&text, scene->object[0].count > 1 ? "there are " : "there is ");
		name_object(&text, &scene->object[0]);
		if (scene->object[0].count == 1 && phrasing != SCENE_SHORT)
			buffer_format(&text, " %s", position_names[scene->position]);
	}
	if (mark && phrasing != SCENE_SHORT)
		buffer_format(&text, " %.*s%s %s%s", (int)(mark - place), place, article(colour), colour, mark + 2);
	else if (phrasing != SCENE_SHORT)
		buffer_format(&text, " %s", place);
	snprintf(caption, SCENE_CAPTION_MOST, "%s", text.failed ? "" : text.data);
	buffer_release(&text);
}

/* --- chance --- */

static unsigned below(uint64_t *random, unsigned n)
{
	return (unsigned)((random_next(random) >> 32) * n >> 32);
}

static float between(uint64_t *random, float low, float high)
{
	return low + (high - low) * (float)(random_next(random) >> 40) / (float)(1 << 24);
}

/* One in eleven, and of every shape and every colour at least one. */
bool scene_heldout(enum scene_colour colour, enum scene_shape shape)
{
	return (5 * (unsigned)colour + 3 * (unsigned)shape) % 11 == 4;
}

static bool seen_well(const struct scene *scene, enum scene_colour colour)
{
	bool coloured = scene->background == BACKGROUND_PLAIN || scene->background == BACKGROUND_GRADIENT;

	return !(coloured && colour == scene->background_colour) && !(backgrounds[scene->background].clashes >> colour & 1);
}

/* A shape and a colour for each object, by trial. Whatever is not asked for is in neither the scene nor its swapped twin. */
static void choose_things(struct scene *scene, uint64_t *random, bool heldout)
{
	struct scene_object *a = &scene->object[0], *b = &scene->object[1];
	bool holding = scene->relation == RELATION_INSIDE || scene->relation == RELATION_AROUND;
	unsigned shapes = holding ? SCENE_HOLDERS : SCENE_SHAPES;
	bool fine;

	do {
		a->shape = below(random, shapes);
		a->colour = below(random, SCENE_COLOURS);
		b->shape = below(random, shapes);
		b->colour = below(random, SCENE_COLOURS);
		bool distinct = scene->objects == 1 || (a->shape != b->shape && a->colour != b->colour);
		bool kept_back = scene_heldout(a->colour, a->shape);
		if (scene->objects > 1 && !heldout)
			kept_back |= scene_heldout(b->colour, b->shape) || scene_heldout(a->colour, b->shape) ||
				     scene_heldout(b->colour, a->shape);
		fine = distinct && kept_back == heldout && seen_well(scene, a->colour);
		fine = fine && (scene->objects == 1 || seen_well(scene, b->colour));
	} while (!fine);
}

static float radius_of(enum scene_size size)
{
	static const float radius[SCENE_SIZES] = {0.115f, 0.17f, 0.25f};

	return radius[size];
}

static void place_alone(struct scene *scene, uint64_t *random)
{
	struct scene_object *object = &scene->object[0];
	float radius = radius_of(object->size) * between(random, 0.95f, 1.05f), reach = 0.45f - radius;

	scene->position = below(random, SCENE_POSITIONS);
	object->places[0].x = 0.5f + reach * ((float)(scene->position % 3) - 1) + between(random, -0.02f, 0.02f);
	object->places[0].y = 0.5f + reach * ((float)(scene->position / 3) - 1) + between(random, -0.02f, 0.02f);
	object->places[0].radius = radius;
}

/* Several of a kind stand in cells of a two by two grid, in a row, or in a column. */
static void place_several(struct scene_object *object, uint64_t *random)
{
	float n = (float)object->count, radius = radius_of(object->size) * 0.8f;
	unsigned layout = below(random, 3);

	if (layout < 2 && radius > 0.42f / n)
		radius = 0.42f / n;
	for (size_t i = 0; i < object->count; i++) {
		struct scene_place *place = &object->places[i];
		float along = ((float)i + 0.5f) / n, across = 0.5f + between(random, -0.12f, 0.12f);
		if (layout == 2) {
			along = i % 2 ? 0.74f : 0.26f;
			across = (i / 2) % 2 ? 0.74f : 0.26f;
			if (object->count == 2)
				across = i ? 0.74f : 0.26f;
		}
		place->x = (layout == 1 ? across : along) + between(random, -0.015f, 0.015f);
		place->y = (layout == 1 ? along : across) + between(random, -0.015f, 0.015f);
		place->radius = radius;
	}
}

static void place_pair(struct scene *scene, uint64_t *random)
{
	struct scene_place *a = &scene->object[0].places[0], *b = &scene->object[1].places[0];
	bool across = scene->relation == RELATION_LEFT || scene->relation == RELATION_RIGHT;
	bool first = scene->relation == RELATION_LEFT || scene->relation == RELATION_ABOVE;
	float gap = between(random, 0.24f, 0.27f), drift = between(random, -0.08f, 0.08f);

	if (scene->relation == RELATION_INSIDE || scene->relation == RELATION_AROUND) {
		struct scene_place *inner = scene->relation == RELATION_INSIDE ? a : b, *outer = inner == a ? b : a;
		*outer = (struct scene_place){0.5f + drift, 0.5f - drift / 2, between(random, 0.36f, 0.4f), 0};
		*inner = *outer;
		inner->radius = outer->radius * between(random, 0.3f, 0.36f);
		return;
	}
	a->x = 0.5f + (across ? (first ? -gap : gap) : drift);
	a->y = 0.5f + (across ? drift : (first ? -gap : gap));
	b->x = 1 - a->x;
	b->y = 1 - a->y;
	a->radius = radius_of(scene->object[0].size) * 0.85f;
	b->radius = radius_of(scene->object[1].size) * 0.85f;
}

void scene_random(struct scene *scene, uint64_t seed, bool heldout)
{
	uint64_t random = seed;

	*scene = (struct scene){.seed = seed, .position = POSITION_MIDDLE};
	scene->objects = 1 + (below(&random, 3) > 0); /* what goes with what is the harder thing to learn */
	scene->background = below(&random, SCENE_BACKGROUNDS);
	scene->background_colour = below(&random, SCENE_COLOURS - 1); /* white could not fade to white */
	if (scene->objects > 1)
		scene->relation = RELATION_LEFT + below(&random, SCENE_RELATIONS - RELATION_LEFT);
	bool holding = scene->relation == RELATION_INSIDE || scene->relation == RELATION_AROUND;
	choose_things(scene, &random, heldout);
	for (size_t i = 0; i < scene->objects; i++) {
		struct scene_object *object = &scene->object[i];
		object->count = scene->objects == 1 && below(&random, 2) ? 2 + below(&random, SCENE_COUNT_MOST - 1) : 1;
		object->size = holding ? SIZE_MEDIUM : below(&random, SCENE_SIZES);
		object->texture = below(&random, 2) ? TEXTURE_PLAIN : below(&random, SCENE_TEXTURES);
	}
	if (scene->objects > 1)
		place_pair(scene, &random);
	else if (scene->object[0].count > 1)
		place_several(&scene->object[0], &random);
	else
		place_alone(scene, &random);
	for (size_t i = 0; i < scene->objects; i++)
		for (size_t k = 0; k < scene->object[i].count; k++)
			scene->object[i].places[k].tilt = between(&random, -0.15f, 0.15f);
	if (scene->objects == 1)
		scene->object[1] = (struct scene_object){0};
}

bool scene_swap(const struct scene *scene, enum scene_swapping what, struct scene *swapped)
{
	const struct scene_object *a = &scene->object[0], *b = &scene->object[1];

	*swapped = *scene;
	if (scene->objects < 2)
		return false;
	if (what == SWAP_COLOURS) {
		swapped->object[0].colour = b->colour;
		swapped->object[1].colour = a->colour;
		return true;
	}
	/* Each thing stands where the other was; alone in a row, a large one stays large. */
	swapped->object[0] = *b;
	swapped->object[1] = *a;
	for (size_t i = 0; i < 2; i++) {
		float radius = swapped->object[i].places[0].radius;
		swapped->object[i].places[0] = scene->object[i].places[0];
		if (scene->relation < RELATION_INSIDE)
			swapped->object[i].places[0].radius = radius;
	}
	return true;
}

/* --- writing --- */

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n >= m && strcmp(path + n - m, end) == 0;
}

/* Where scenes go: into a shard, or a folder if that is NULL. */
struct target {
	struct shard_writer *shard;
	const char *folder;
	size_t side;
	uint8_t *rgb; /* [side,side,3]: scratch */
};

static enum status write_member(const struct target *to, const char *name, const void *bytes, size_t size, struct err *err)
{
	if (to->shard)
		return shard_writer_add(to->shard, name, bytes, size, err);
	char *path = path_join(to->folder, name);
	if (!path)
		return err_memory(err, "a path");
	enum status status = STATUS_OK;
	FILE *stream = fopen(path, "wb");
	bool written = stream && fwrite(bytes, 1, size, stream) == size;
	int why = errno;
	if (stream && fclose(stream) != 0 && written) {
		written = false;
		why = errno;
	}
	if (!written)
		status = err_set(err, STATUS_IO, "cannot write '%s': %s", path, strerror(why));
	free(path);
	return status;
}

static enum status write_scene(const struct target *to, const char *name, const struct scene *scene, const char *captions, struct err *err)
{
	char member[64];
	uint8_t *jpeg = NULL;
	size_t size;

	scene_draw(scene, to->side, to->side, to->rgb);
	enum status status = image_encode_jpeg(to->rgb, to->side, to->side, JPEG_QUALITY, &jpeg, &size, err);
	if (status == STATUS_OK) {
		snprintf(member, sizeof member, "%s.jpg", name);
		status = write_member(to, member, jpeg, size, err);
	}
	if (status == STATUS_OK) {
		snprintf(member, sizeof member, "%s.txt", name);
		status = write_member(to, member, captions, strlen(captions), err);
	}
	free(jpeg);
	return status;
}

static enum status write_alone(const struct target *to, size_t number, const struct scene *scene, struct err *err)
{
	char name[32], one[SCENE_CAPTION_MOST], other[SCENE_CAPTION_MOST], captions[2 * SCENE_CAPTION_MOST + 2];

	snprintf(name, sizeof name, "%06zu", number);
	scene_caption(scene, scene->seed % SCENE_SHORT, one);
	scene_caption(scene, SCENE_SHORT, other);
	snprintf(captions, sizeof captions, "%s\n%s\n", one, other);
	return write_scene(to, name, scene, captions, err);
}

static enum status write_pair(const struct target *to, size_t number, const struct scene *scene, struct err *err)
{
	struct scene swapped;
	enum status status = STATUS_OK;

	scene_swap(scene, number % 2 ? SWAP_PLACES : SWAP_COLOURS, &swapped);
	for (int side = 0; side < 2 && status == STATUS_OK; side++) {
		char name[32], caption[SCENE_CAPTION_MOST], line[SCENE_CAPTION_MOST + 1];
		snprintf(name, sizeof name, "%06zu-%c", number, "ab"[side]);
		scene_caption(side ? &swapped : scene, scene->seed % SCENE_PHRASINGS, caption);
		snprintf(line, sizeof line, "%s\n", caption);
		status = write_scene(to, name, side ? &swapped : scene, line, err);
	}
	return status;
}

/* Scene number i; for pairs, the first one with two things that is drawn for this number. */
static void think_up(const struct scenes_options *o, size_t i, struct scene *scene)
{
	uint64_t own = o->seed;

	own = random_next(&own) ^ i;
	do
		scene_random(scene, random_next(&own), o->heldout);
	while (o->pairs && scene->objects < 2);
}

enum status scenes_write(const char *path, const struct scenes_options *o, struct err *err)
{
	struct target to = {NULL, path, o->side, mem_array(mem_product(o->side, o->side), 3)};
	enum status status;

	if (!to.rgb)
		return err_memory(err, "the pixels of a scene");
	if (ends_in(path, ".tar") || ends_in(path, ".tar.gz") || ends_in(path, ".tgz"))
		status = shard_writer_open(path, &to.shard, err);
	else
		status = path_make_folder(path, err);
	for (size_t i = o->first; i < o->first + o->count && status == STATUS_OK; i++) {
		struct scene scene;
		think_up(o, i, &scene);
		status = o->pairs ? write_pair(&to, i, &scene, err) : write_alone(&to, i, &scene, err);
	}
	if (to.shard) {
		enum status closed = shard_writer_close(to.shard, status == STATUS_OK ? err : NULL);
		status = status == STATUS_OK ? closed : status;
	}
	free(to.rgb);
	return status;
}
