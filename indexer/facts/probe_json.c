/* probe_json.c: descriptions beside a photograph as JSON. Google Takeout's have title (the file's name, as a rule), description,
 * photoTakenTime {timestamp}, geoData {latitude, longitude}, people [{name}]; other programs write title, caption, keywords or tags;
 * exiftool writes names of tags. Takeout's time is in UTC and knows no offset: it is only used where nothing better is known.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/facts/probe.h"

#include "schema/base/banned.h"

static void add_string(struct probe *probe, enum probe_text kind, const cJSON *value)
{
	if (cJSON_IsString(value))
		probe_add_text(probe, kind, value->valuestring, strlen(value->valuestring));
}

/* A string, or strings, or objects with a name. */
static void add_list(struct probe *probe, enum probe_text kind, const cJSON *list)
{
	const cJSON *item;

	add_string(probe, kind, list);
	if (!cJSON_IsArray(list))
		return;
	cJSON_ArrayForEach(item, list)
		add_string(probe, kind, cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "name") : item);
}

static void add_time(struct probe *probe, const cJSON *taken)
{
	const cJSON *stamp = cJSON_GetObjectItemCaseSensitive(taken, "timestamp");
	char *end;

	if (!cJSON_IsString(stamp))
		return;
	long long seconds = strtoll(stamp->valuestring, &end, 10);
	if (end == stamp->valuestring || *end || seconds <= -4544208000LL || seconds == 0 || seconds > 253402300799LL)
		return;
	probe_taken(probe, MOMENT_UTC, seconds, false, 0);
}

static void add_position(struct probe *probe, const cJSON *place)
{
	const cJSON *latitude = cJSON_GetObjectItemCaseSensitive(place, "latitude");
	const cJSON *longitude = cJSON_GetObjectItemCaseSensitive(place, "longitude");

	if (cJSON_IsNumber(latitude) && cJSON_IsNumber(longitude))
		probe_position(probe, latitude->valuedouble, longitude->valuedouble);
}

/* ---- what exiftool writes: names of tags, with -G a group and a colon before them, with -g groups as objects ----------------------- */

enum tag { TAG_TEXT, TAG_PATH, TAG_TIME, TAG_OFFSET, TAG_LATITUDE, TAG_LONGITUDE, TAG_MAKE, TAG_MODEL, TAG_LENS };

static const struct {
	const char *name;
	enum tag tag;
	int what; /* enum probe_text, separator, enum probe_moment */
} tags[] = {
	{"Title", TAG_TEXT, PROBE_TITLE}, {"Headline", TAG_TEXT, PROBE_TITLE}, {"ObjectName", TAG_TEXT, PROBE_TITLE},
	{"Description", TAG_TEXT, PROBE_DESCRIPTION}, {"Caption", TAG_TEXT, PROBE_DESCRIPTION},
	{"Caption-Abstract", TAG_TEXT, PROBE_DESCRIPTION}, {"ImageDescription", TAG_TEXT, PROBE_DESCRIPTION},
	{"UserComment", TAG_TEXT, PROBE_DESCRIPTION}, {"Keywords", TAG_TEXT, PROBE_KEYWORDS}, {"Subject", TAG_TEXT, PROBE_KEYWORDS},
	{"PersonInImage", TAG_TEXT, PROBE_KEYWORDS}, {"RegionName", TAG_TEXT, PROBE_KEYWORDS},
	{"RegionPersonDisplayName", TAG_TEXT, PROBE_KEYWORDS}, {"HierarchicalSubject", TAG_PATH, '|'}, {"TagsList", TAG_PATH, '/'},
	{"Sub-location", TAG_TEXT, PROBE_PLACE}, {"Location", TAG_TEXT, PROBE_PLACE}, {"City", TAG_TEXT, PROBE_PLACE},
	{"State", TAG_TEXT, PROBE_PLACE}, {"Province-State", TAG_TEXT, PROBE_PLACE}, {"Country", TAG_TEXT, PROBE_PLACE},
	{"Country-PrimaryLocationName", TAG_TEXT, PROBE_PLACE}, {"DateTimeOriginal", TAG_TIME, MOMENT_ORIGINAL},
	{"DateCreated", TAG_TIME, MOMENT_ORIGINAL}, {"CreateDate", TAG_TIME, MOMENT_DIGITISED},
	{"ModifyDate", TAG_TIME, MOMENT_MODIFIED}, {"OffsetTimeOriginal", TAG_OFFSET, 0}, {"GPSLatitude", TAG_LATITUDE, 0},
	{"GPSLongitude", TAG_LONGITUDE, 0}, {"Make", TAG_MAKE, 0}, {"Model", TAG_MODEL, 0}, {"LensModel", TAG_LENS, 0},
};

struct tagged {
	struct probe *probe;
	const char *offset, *make, *model;
	double latitude, longitude;
};

/* "48 deg 12' 0.00\" N", or degrees. */
static double angle(const cJSON *value)
{
	double part[3] = {0, 0, 0};
	int n = 0;

	if (cJSON_IsNumber(value))
		return value->valuedouble;
	if (!cJSON_IsString(value))
		return (double)NAN;
	for (const char *at = value->valuestring; *at && n < 3;) {
		char *end;
		double x = strtod(at, &end);
		if (end != at)
			part[n++] = x;
		at = end != at ? end : at + 1;
	}
	size_t size = strlen(value->valuestring);
	char last = size ? value->valuestring[size - 1] : '\0';
	double sum = fabs(part[0]) + part[1] / 60 + part[2] / 3600;
	return !n ? (double)NAN : last == 'S' || last == 'W' || part[0] < 0 ? -sum : sum;
}

static void take_tag(struct tagged *t, enum tag tag, int what, const cJSON *value)
{
	const char *text = cJSON_IsString(value) ? value->valuestring : "";
	const cJSON *item;

	switch (tag) {
	case TAG_TEXT:
		if (!probe_is_boilerplate(text))
			add_list(t->probe, (enum probe_text)what, value);
		break;
	case TAG_PATH:
		probe_add_path(t->probe, text, strlen(text), (char)what);
		cJSON_ArrayForEach(item, value)
			if (cJSON_IsString(item))
				probe_add_path(t->probe, item->valuestring, strlen(item->valuestring), (char)what);
		break;
	case TAG_TIME:
		probe_time(t->probe, (enum probe_moment)what, text, what == MOMENT_ORIGINAL ? t->offset : NULL);
		break;
	case TAG_OFFSET:
		t->offset = text;
		break;
	case TAG_LATITUDE:
		t->latitude = angle(value);
		break;
	case TAG_LONGITUDE:
		t->longitude = angle(value);
		break;
	case TAG_MAKE:
		t->make = text;
		break;
	case TAG_MODEL:
		t->model = text;
		break;
	case TAG_LENS:
		if (!*t->probe->lens)
			snprintf(t->probe->lens, sizeof t->probe->lens, "%s", text);
		break;
	}
}

static void read_tags(struct tagged *t, const cJSON *object, bool groups)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, object) {
		const char *colon = item->string ? strrchr(item->string, ':') : NULL, *name = colon ? colon + 1 : item->string;
		for (size_t i = 0; name && i < sizeof tags / sizeof *tags; i++)
			if (strcmp(name, tags[i].name) == 0)
				take_tag(t, tags[i].tag, tags[i].what, item);
		if (groups && cJSON_IsObject(item))
			read_tags(t, item, false);
	}
}

void probe_json(struct probe *probe, const uint8_t *json, size_t size, const char *name)
{
	struct tagged t = {probe, "", "", "", (double)NAN, (double)NAN};
	cJSON *root = cJSON_ParseWithLength((const char *)json, size);
	const cJSON *object = cJSON_IsArray(root) ? root->child : root; /* as exiftool writes it */
	const cJSON *title = cJSON_GetObjectItemCaseSensitive(object, "title");
	size_t stem = strcspn(name, ".");

	if (cJSON_IsObject(object)) {
		if (cJSON_IsString(title) && strncmp(title->valuestring, name, stem) != 0)
			add_string(probe, PROBE_TITLE, title);
		add_string(probe, PROBE_DESCRIPTION, cJSON_GetObjectItemCaseSensitive(object, "description"));
		add_string(probe, PROBE_DESCRIPTION, cJSON_GetObjectItemCaseSensitive(object, "caption"));
		add_list(probe, PROBE_KEYWORDS, cJSON_GetObjectItemCaseSensitive(object, "keywords"));
		add_list(probe, PROBE_KEYWORDS, cJSON_GetObjectItemCaseSensitive(object, "tags"));
		add_list(probe, PROBE_KEYWORDS, cJSON_GetObjectItemCaseSensitive(object, "people"));
		add_time(probe, cJSON_GetObjectItemCaseSensitive(object, "photoTakenTime"));
		add_position(probe, cJSON_GetObjectItemCaseSensitive(object, "geoData"));
		read_tags(&t, object, true);
		probe_position(probe, t.latitude, t.longitude);
		if (*t.make || *t.model)
			probe_camera(probe, t.make, t.model);
	}
	cJSON_Delete(root);
}
