/* probe_xmp.c: XMP through expat: a packet within a photograph, or a file beside it. RDF lets a value be an attribute or an element, a
 * list or a plain text; all forms are read alike. Expat stops at what is no XML; what was read by then counts.
 */
#include <expat.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "indexer/facts/probe.h"

#include "schema/base/banned.h"

#define RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
#define DC "http://purl.org/dc/elements/1.1/ "
#define EXIF "http://ns.adobe.com/exif/1.0/ "
#define TIFF "http://ns.adobe.com/tiff/1.0/ "
#define XAP "http://ns.adobe.com/xap/1.0/ "
#define PHOTOSHOP "http://ns.adobe.com/photoshop/1.0/ "
#define IPTC "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ "

enum value { TAKEN, CREATED, DIGITISED, MADE, MODIFIED, LATITUDE, LONGITUDE, NORTH, EAST, MAKE, MODEL, LENS, VALUES };

/* Names as expat gives them: the namespace, a space, the name. What stands in a structure of something else is not the photograph's: the
 * place that is shown is not where the camera stood. Names of people stand in the regions where they are seen. */
static const struct property {
	const char *name;
	int value; /* enum value; -1: a text */
	enum probe_text text;
	char separator; /* of a path of keywords */
	bool within;    /* wherever it stands */
} properties[] = {
	{DC "title", -1, PROBE_TITLE, 0, false},
	{PHOTOSHOP "Headline", -1, PROBE_TITLE, 0, false},
	{DC "description", -1, PROBE_DESCRIPTION, 0, false},
	{TIFF "ImageDescription", -1, PROBE_DESCRIPTION, 0, false},
	{EXIF "UserComment", -1, PROBE_DESCRIPTION, 0, false},
	{DC "subject", -1, PROBE_KEYWORDS, 0, false},
	{IPTC "PersonInImage", -1, PROBE_KEYWORDS, 0, false},
	{"http://www.metadataworkinggroup.com/schemas/regions/ Name", -1, PROBE_KEYWORDS, 0, true},
	{"http://ns.microsoft.com/photo/1.2/t/Region# PersonDisplayName", -1, PROBE_KEYWORDS, 0, true},
	{"http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject", -1, PROBE_KEYWORDS, '|', false},
	{"http://www.digikam.org/ns/1.0/ TagsList", -1, PROBE_KEYWORDS, '/', false},
	{"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/ Location", -1, PROBE_PLACE, 0, false},
	{PHOTOSHOP "City", -1, PROBE_PLACE, 0, false},
	{PHOTOSHOP "State", -1, PROBE_PLACE, 0, false},
	{PHOTOSHOP "Country", -1, PROBE_PLACE, 0, false},
	{EXIF "DateTimeOriginal", TAKEN, 0, 0, false},
	{PHOTOSHOP "DateCreated", CREATED, 0, 0, false},
	{EXIF "DateTimeDigitized", DIGITISED, 0, 0, false},
	{XAP "CreateDate", MADE, 0, 0, false},
	{XAP "ModifyDate", MODIFIED, 0, 0, false},
	{EXIF "GPSLatitude", LATITUDE, 0, 0, false},
	{EXIF "GPSLongitude", LONGITUDE, 0, 0, false},
	{EXIF "GPSLatitudeRef", NORTH, 0, 0, false},
	{EXIF "GPSLongitudeRef", EAST, 0, 0, false},
	{TIFF "Make", MAKE, 0, 0, false},
	{TIFF "Model", MODEL, 0, 0, false},
	{"http://cipa.jp/exif/1.0/ LensModel", LENS, 0, 0, false},
	{"http://ns.adobe.com/exif/1.0/aux/ Lens", LENS, 0, 0, false},
};

struct reading {
	struct probe *probe;
	XML_Parser parser;
	const struct property *property; /* within it; NULL: within none */
	int depth, property_depth;
	int top;                         /* the depth of the photograph's own description; 0: outside */
	bool listed;                     /* it has list items: blanks between them are no value */
	struct buffer text;
	char values[VALUES][128];
};

enum { TEXT_MOST = 65536 };

/* own: it stands in the photograph's own description. */
static const struct property *find_property(const char *name, bool own)
{
	for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
		if ((own || properties[i].within) && strcmp(name, properties[i].name) == 0)
			return &properties[i];
	return NULL;
}

static void take(struct reading *r, const struct property *property, const char *text, size_t size)
{
	if (property->value >= 0 && !r->values[property->value][0])
		snprintf(r->values[property->value], sizeof r->values[0], "%.*s", (int)(size < TEXT_MOST ? size : TEXT_MOST), text);
	else if (property->value < 0 && property->separator)
		probe_add_path(r->probe, text, size, property->separator);
	else if (property->value < 0)
		probe_add_text(r->probe, property->text, text, size);
}

static void on_start(void *context, const char *name, const char **attributes)
{
	struct reading *r = context;

	r->depth++;
	if (r->property) {
		if (strcmp(name, RDF "li") == 0) {
			r->listed = true;
			r->text.size = 0;
		}
		return;
	}
	if (!r->top && strcmp(name, RDF "Description") == 0)
		r->top = r->depth;
	r->property = find_property(name, r->top && r->depth == r->top + 1);
	if (r->property) {
		r->property_depth = r->depth;
		r->listed = false;
		r->text.size = 0;
		return;
	}
	for (; attributes[0]; attributes += 2) {
		const struct property *property = find_property(attributes[0], r->depth == r->top);
		if (property)
			take(r, property, attributes[1], strlen(attributes[1]));
	}
}

static void on_end(void *context, const char *name)
{
	struct reading *r = context;

	if (r->property) {
		bool item = strcmp(name, RDF "li") == 0, whole = r->depth == r->property_depth;
		if (r->text.size && !r->text.failed && (item || (whole && !r->listed)))
			take(r, r->property, r->text.data, r->text.size);
		if (item || whole)
			r->text.size = 0;
		if (whole)
			r->property = NULL;
	}
	if (r->depth == r->top)
		r->top = 0;
	r->depth--;
}

static void on_text(void *context, const char *text, int size)
{
	struct reading *r = context;

	if (r->property && r->text.size < TEXT_MOST)
		buffer_append(&r->text, text, (size_t)size);
}

/* "48,51.5033N", "48,51,30N", or decimal degrees as Apple has them, with the direction in ref or in their sign. NaN where it is neither. */
static double angle(const char *text, const char *ref, const char *directions)
{
	double sum = 0, unit = 1;
	const char *at = text;

	for (int i = 0; i < 3; i++, unit /= 60) {
		char *end;
		double part = strtod(at, &end);
		if (end == at || (part < 0 && i))
			return (double)NAN;
		sum += part * unit;
		at = end;
		if (*at != ',')
			break;
		at++;
	}
	at = *at ? at : ref;
	if (sum < 0 || !*at)
		return *at && *at != directions[0] && *at != directions[1] ? (double)NAN : sum;
	if (*at != directions[0] && *at != directions[1])
		return (double)NAN;
	return *at == directions[1] ? -sum : sum;
}

static void take_values(struct reading *r)
{
	struct probe *probe = r->probe;

	probe_time(probe, MOMENT_ORIGINAL, r->values[TAKEN], NULL);
	probe_time(probe, MOMENT_ORIGINAL, r->values[CREATED], NULL);
	probe_time(probe, MOMENT_DIGITISED, r->values[DIGITISED], NULL);
	probe_time(probe, MOMENT_DIGITISED, r->values[MADE], NULL);
	probe_time(probe, MOMENT_MODIFIED, r->values[MODIFIED], NULL);
	if (r->values[LATITUDE][0])
		probe_position(probe, angle(r->values[LATITUDE], r->values[NORTH], "NS"),
			       angle(r->values[LONGITUDE], r->values[EAST], "EW"));
	probe_camera(probe, r->values[MAKE], r->values[MODEL]);
	if (!*probe->lens)
		snprintf(probe->lens, sizeof probe->lens, "%s", r->values[LENS]);
}

/* UTF-16, with its mark or without. */
static bool is_wide(const uint8_t *p, size_t size)
{
	return size >= 4 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff) || (!p[0] && p[1] == '<' && !p[2]) ||
			     (p[0] == '<' && !p[1] && !p[3]));
}

void probe_xmp(struct probe *probe, const uint8_t *xmp, size_t size)
{
	enum { XMP_MOST = 64 << 20 };
	struct reading r = {.probe = probe};
	struct buffer packet = {0};

	if (!xmp || !size || size > XMP_MOST)
		return;
	/* NULs stand before, behind and within packets, and mean nothing, but in UTF-16. */
	for (; size && !is_wide(xmp, size) && (!*xmp || *xmp == ' '); size--)
		xmp++;
	bool wide = is_wide(xmp, size);
	for (size_t at = 0; at < size && !wide;) {
		size_t n = strnlen((const char *)xmp + at, size - at);
		buffer_append(&packet, xmp + at, n);
		at += n + 1;
	}
	if (wide)
		buffer_append(&packet, xmp, size);
	r.parser = packet.size && !packet.failed ? XML_ParserCreateNS(NULL, ' ') : NULL;
	if (r.parser) {
		XML_SetUserData(r.parser, &r);
		XML_SetElementHandler(r.parser, on_start, on_end);
		XML_SetCharacterDataHandler(r.parser, on_text);
		XML_Parse(r.parser, packet.data, (int)packet.size, 1);
		XML_ParserFree(r.parser);
		take_values(&r);
	}
	buffer_release(&r.text);
	buffer_release(&packet);
}
