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

enum value { TAKEN, CREATED, MADE, LATITUDE, LONGITUDE, MAKE, MODEL, LENS, VALUES };

/* Names as expat gives them: the namespace, a space, the name. */
static const struct property {
	const char *name;
	int value; /* enum value; -1: a text */
	enum probe_text text;
} properties[] = {
	{DC "title", -1, PROBE_TITLE},
	{"http://ns.adobe.com/photoshop/1.0/ Headline", -1, PROBE_TITLE},
	{DC "description", -1, PROBE_DESCRIPTION},
	{TIFF "ImageDescription", -1, PROBE_DESCRIPTION},
	{DC "subject", -1, PROBE_KEYWORDS},
	{"http://iptc.org/std/Iptc4xmpExt/2008-02-29/ PersonInImage", -1, PROBE_KEYWORDS},
	{EXIF "DateTimeOriginal", TAKEN, 0},
	{"http://ns.adobe.com/photoshop/1.0/ DateCreated", CREATED, 0},
	{"http://ns.adobe.com/xap/1.0/ CreateDate", MADE, 0},
	{EXIF "GPSLatitude", LATITUDE, 0},
	{EXIF "GPSLongitude", LONGITUDE, 0},
	{TIFF "Make", MAKE, 0},
	{TIFF "Model", MODEL, 0},
	{"http://cipa.jp/exif/1.0/ LensModel", LENS, 0},
	{"http://ns.adobe.com/exif/1.0/aux/ Lens", LENS, 0},
};

struct reading {
	struct probe *probe;
	XML_Parser parser;
	const struct property *property; /* within it; NULL: within none */
	int depth, property_depth;
	bool listed;                     /* it has list items: blanks between them are no value */
	struct buffer text;
	char values[VALUES][128];
};

enum { TEXT_MOST = 65536 };

static const struct property *find_property(const char *name)
{
	for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
		if (strcmp(name, properties[i].name) == 0)
			return &properties[i];
	return NULL;
}

static void take(struct reading *r, const struct property *property, const char *text, size_t size)
{
	if (property->value < 0)
		probe_add_text(r->probe, property->text, text, size);
	else if (!r->values[property->value][0])
		snprintf(r->values[property->value], sizeof r->values[0], "%.*s", (int)(size < TEXT_MOST ? size : TEXT_MOST), text);
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
	r->property = find_property(name);
	if (r->property) {
		r->property_depth = r->depth;
		r->listed = false;
		r->text.size = 0;
	} else if (strcmp(name, RDF "Description") == 0) {
		for (; attributes[0]; attributes += 2) {
			const struct property *property = find_property(attributes[0]);
			if (property)
				take(r, property, attributes[1], strlen(attributes[1]));
		}
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
	r->depth--;
}

static void on_text(void *context, const char *text, int size)
{
	struct reading *r = context;

	if (r->property && r->text.size < TEXT_MOST)
		buffer_append(&r->text, text, (size_t)size);
}

/* "48,51.5033N" or "48,51,30N". NaN where it is neither. */
static double angle(const char *text, const char *directions)
{
	double sum = 0, unit = 1;
	const char *at = text;

	for (int i = 0; i < 3; i++, unit /= 60) {
		char *end;
		double part = strtod(at, &end);
		if (end == at || part < 0)
			return (double)NAN;
		sum += part * unit;
		at = end;
		if (*at != ',')
			break;
		at++;
	}
	if (*at != directions[0] && *at != directions[1])
		return (double)NAN;
	return *at == directions[1] ? -sum : sum;
}

void probe_xmp(struct probe *probe, const uint8_t *xmp, size_t size)
{
	enum { XMP_MOST = 64 << 20 };
	struct reading r = {.probe = probe};

	if (!xmp || !size || size > XMP_MOST)
		return;
	/* A packet in a file may end in NUL. */
	while (size && !xmp[size - 1])
		size--;
	r.parser = XML_ParserCreateNS(NULL, ' ');
	if (!r.parser)
		return;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_Parse(r.parser, (const char *)xmp, (int)size, 1);
	XML_ParserFree(r.parser);
	probe_time(probe, r.values[TAKEN], NULL);
	probe_time(probe, r.values[CREATED], NULL);
	probe_time(probe, r.values[MADE], NULL);
	if (r.values[LATITUDE][0])
		probe_position(probe, angle(r.values[LATITUDE], "NS"), angle(r.values[LONGITUDE], "EW"));
	probe_camera(probe, r.values[MAKE], r.values[MODEL]);
	if (!*probe->lens)
		snprintf(probe->lens, sizeof probe->lens, "%s", r.values[LENS]);
	buffer_release(&r.text);
}
