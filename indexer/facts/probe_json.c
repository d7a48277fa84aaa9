/* probe_json.c: descriptions beside a photograph as JSON. Google Takeout's have title (the file's name, as a rule), description,
 * photoTakenTime {timestamp}, geoData {latitude, longitude}, people [{name}]; other programs write title, caption, keywords or tags.
 * Takeout's time is in UTC and knows no offset: it is only used where nothing better is known.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/facts/probe.h"

#include "schema/base/banned.h"

static void add_string(struct probe *probe, enum probe_text kind, const cJSON *value)
{
	if (cJSON_IsString(value))
		probe_add_text(probe, kind, value->valuestring, strlen(value->valuestring));
}

/* Strings, or objects with a name. */
static void add_list(struct probe *probe, const cJSON *list)
{
	const cJSON *item;

	if (!cJSON_IsArray(list))
		return;
	cJSON_ArrayForEach(item, list)
		add_string(probe, PROBE_KEYWORDS, cJSON_IsObject(item) ? cJSON_GetObjectItemCaseSensitive(item, "name") : item);
}

static void add_time(struct probe *probe, const cJSON *taken)
{
	const cJSON *stamp = cJSON_GetObjectItemCaseSensitive(taken, "timestamp");
	char *end;

	if (probe->has_taken || !cJSON_IsString(stamp))
		return;
	long long seconds = strtoll(stamp->valuestring, &end, 10);
	if (end == stamp->valuestring || *end || seconds <= -4544208000LL || seconds == 0 || seconds > 253402300799LL)
		return;
	probe->has_taken = true;
	probe->taken_at = seconds;
	probe->taken_offset = 0;
}

static void add_position(struct probe *probe, const cJSON *place)
{
	const cJSON *latitude = cJSON_GetObjectItemCaseSensitive(place, "latitude");
	const cJSON *longitude = cJSON_GetObjectItemCaseSensitive(place, "longitude");

	if (cJSON_IsNumber(latitude) && cJSON_IsNumber(longitude))
		probe_position(probe, latitude->valuedouble, longitude->valuedouble);
}

void probe_json(struct probe *probe, const uint8_t *json, size_t size, const char *name)
{
	static const char *const descriptions[] = {"description", "caption", "Description", "Caption"}, *const lists[] = {
		"keywords", "tags", "Keywords", "Subject", "people"};
	cJSON *root = cJSON_ParseWithLength((const char *)json, size);
	const cJSON *object = cJSON_IsArray(root) ? root->child : root; /* as exiftool writes it */
	const cJSON *title = cJSON_GetObjectItemCaseSensitive(object, "title");
	size_t stem = strcspn(name, ".");

	if (cJSON_IsObject(object)) {
		if (cJSON_IsString(title) && strncmp(title->valuestring, name, stem) != 0)
			add_string(probe, PROBE_TITLE, title);
		for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++)
			add_string(probe, PROBE_DESCRIPTION, cJSON_GetObjectItemCaseSensitive(object, descriptions[i]));
		for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
			add_list(probe, cJSON_GetObjectItemCaseSensitive(object, lists[i]));
		add_time(probe, cJSON_GetObjectItemCaseSensitive(object, "photoTakenTime"));
		add_position(probe, cJSON_GetObjectItemCaseSensitive(object, "geoData"));
	}
	cJSON_Delete(root);
}
