/* colour.c: colours as an embedded profile means them, turned into sRGB by Little CMS with the perceptual intent, as
 * Pillow's ImageCms.profileToProfile does.
 *
 * Making a transform takes milliseconds, and a library's photographs share a few profiles: those seen first are kept for good.
 * What changes nothing is not done: a profile that moves no colour of a grid by more than GRID_NEAR of 255 is sRGB, whatever it
 * is called. What cannot be read as a profile, or is one for other inks than the picture has, is passed over.
 */
#include <lcms2.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/image/codec.h"
#include "schema/base/memory.h"

#include "schema/base/banned.h"

enum { GRID = 9, GRID_NEAR = 2, KEPT_MOST = 16, KEPT_SIZE = 1 << 20 };

struct image_colour {
	cmsHTRANSFORM transform; /* NULL for gray */
	bool cmyk;
	bool kept;               /* among the kept ones: never freed */
	uint8_t gray[256];
};

static struct {
	pthread_mutex_t lock;
	size_t count;
	struct {
		void *icc;
		size_t size;
		struct image_colour *colour; /* NULL: nothing is to be turned */
	} profiles[KEPT_MOST];
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Whether RGB stays what it is. */
static bool changes_nothing(cmsHTRANSFORM transform)
{
	uint8_t from[3 * GRID * GRID * GRID], to[sizeof from];

	for (size_t i = 0; i < GRID * GRID * GRID; i++) {
		size_t steps[3] = {i % GRID, i / GRID % GRID, i / (GRID * GRID)};
		for (size_t c = 0; c < 3; c++)
			from[3 * i + c] = (uint8_t)(steps[c] * 255 / (GRID - 1));
	}
	cmsDoTransform(transform, from, to, GRID * GRID * GRID);
	for (size_t i = 0; i < sizeof from; i++)
		if (abs(from[i] - to[i]) > GRID_NEAR)
			return false;
	return true;
}

/* Gray as 256 grays; false: it stays what it is, or is no gray. */
static bool map_gray(struct image_colour *colour, cmsHTRANSFORM transform)
{
	uint8_t from[256], to[3 * 256];
	bool changes = false;

	for (int i = 0; i < 256; i++)
		from[i] = (uint8_t)i;
	cmsDoTransform(transform, from, to, 256);
	for (int i = 0; i < 256; i++) {
		colour->gray[i] = to[3 * i + 1];
		changes |= abs(colour->gray[i] - i) > GRID_NEAR;
	}
	return changes;
}

static struct image_colour *make(const void *icc, size_t size)
{
	struct image_colour *colour = mem_array(1, sizeof *colour);
	cmsHPROFILE profile = size <= UINT32_MAX ? cmsOpenProfileFromMem(icc, (cmsUInt32Number)size) : NULL;
	cmsHPROFILE srgb = cmsCreate_sRGBProfile();
	cmsHTRANSFORM transform = NULL;
	bool wanted = false;

	if (colour && profile && srgb) {
		cmsColorSpaceSignature space = cmsGetColorSpace(profile);
		cmsUInt32Number inks = space == cmsSigRgbData    ? TYPE_RGB_8
				       : space == cmsSigGrayData ? TYPE_GRAY_8
				       : space == cmsSigCmykData ? TYPE_CMYK_8_REV
								 : 0;
		colour->cmyk = space == cmsSigCmykData;
		if (inks) /* without a cache of its own, as threads share it */
			transform = cmsCreateTransform(profile, inks, srgb, TYPE_RGB_8, INTENT_PERCEPTUAL, cmsFLAGS_NOCACHE);
		if (transform)
			wanted = colour->cmyk || (inks == TYPE_RGB_8 ? !changes_nothing(transform) : map_gray(colour, transform));
		if (wanted && inks != TYPE_GRAY_8) {
			colour->transform = transform;
			transform = NULL;
		}
	}
	if (transform)
		cmsDeleteTransform(transform);
	if (profile)
		cmsCloseProfile(profile);
	if (srgb)
		cmsCloseProfile(srgb);
	if (!wanted) {
		free(colour);
		return NULL;
	}
	return colour;
}

/* Whether the profile is kept; then *colour is what it comes to. */
static bool find_kept(const void *icc, size_t size, struct image_colour **colour)
{
	bool found = false;

	pthread_mutex_lock(&kept.lock);
	for (size_t i = 0; i < kept.count && !found; i++)
		if (kept.profiles[i].size == size && memcmp(kept.profiles[i].icc, icc, size) == 0) {
			*colour = kept.profiles[i].colour;
			found = true;
		}
	pthread_mutex_unlock(&kept.lock);
	return found;
}

/* Two threads may keep the same profile at once: harmless. */
static void keep(const void *icc, size_t size, struct image_colour *colour)
{
	void *copy = size <= KEPT_SIZE ? mem_copy(icc, size) : NULL;

	if (!copy)
		return;
	pthread_mutex_lock(&kept.lock);
	bool room = kept.count < KEPT_MOST;
	if (room) {
		kept.profiles[kept.count].icc = copy;
		kept.profiles[kept.count].size = size;
		kept.profiles[kept.count++].colour = colour;
		if (colour)
			colour->kept = true;
	}
	pthread_mutex_unlock(&kept.lock);
	if (!room)
		free(copy);
}

struct image_colour *image_colour_open(const void *icc, size_t size)
{
	struct image_colour *colour;

	if (!find_kept(icc, size, &colour)) {
		colour = make(icc, size);
		keep(icc, size, colour);
	}
	return colour;
}

void image_colour_free(struct image_colour *colour)
{
	if (!colour || colour->kept)
		return;
	if (colour->transform)
		cmsDeleteTransform(colour->transform);
	free(colour);
}

bool image_colour_cmyk(const struct image_colour *colour)
{
	return colour && colour->cmyk;
}

void image_colour_inks(const struct image_colour *colour, const uint8_t *inverted, uint8_t *rgb, size_t n)
{
	cmsDoTransform(colour->transform, inverted, rgb, (cmsUInt32Number)n);
}

void image_colour_apply(const struct image_colour *colour, uint8_t *rgb, size_t n)
{
	enum { AT_ONCE = 1 << 20 };

	if (colour->cmyk)
		return;
	if (colour->transform) {
		for (size_t i = 0; i < n; i += AT_ONCE)
			cmsDoTransform(colour->transform, rgb + 3 * i, rgb + 3 * i, (cmsUInt32Number)(n - i < AT_ONCE ? n - i : AT_ONCE));
		return;
	}
	/* A profile for gray in a picture with colours is a mistake. */
	for (size_t i = 0; i < n; i++)
		if (rgb[3 * i] != rgb[3 * i + 1] || rgb[3 * i] != rgb[3 * i + 2])
			return;
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = colour->gray[rgb[i]];
}

/* --- profiles for coded colours (ITU-T H.273), as AVIF and HEIC have them in place of a profile --- */

enum { PRIMARIES_2020 = 9, PRIMARIES_DCI = 11, PRIMARIES_P3 = 12, TRANSFER_PQ = 16, TRANSFER_HLG = 18, TRANSFER_LINEAR = 8 };

/* Linear light for a signal, 1 being the white of paper: 203 cd/m2 (ITU-R BT.2408). */
static double light_of(unsigned transfer, double signal)
{
	if (transfer == TRANSFER_PQ) {
		const double m1 = 2610.0 / 16384, m2 = 2523.0 / 32, c1 = 3424.0 / 4096, c2 = 2413.0 / 128, c3 = 2392.0 / 128;
		double p = pow(signal, 1 / m2), d = p - c1 > 0 ? p - c1 : 0;
		return pow(d / (c2 - c3 * p), 1 / m1) * 10000 / 203;
	}
	const double a = 0.17883277, b = 1 - 4 * a, c = 0.5 - a * log(4 * a);
	double scene = signal <= 0.5 ? signal * signal / 3 : (exp((signal - c) / a) + b) / 12;
	return pow(scene, 1.2) * 1000 / 203;
}

/* Light above paper white is rolled off rather than cut: up to 1000 cd/m2 stay apart. */
static double rolled_off(double light)
{
	const double white = 1000.0 / 203;
	double mapped = light * (1 + light / (white * white)) / (1 + light) * 1.4;

	return mapped < 1 ? mapped : 1;
}

static cmsToneCurve *tone_curve(unsigned transfer)
{
	enum { STEPS = 4096 };
	static const cmsFloat64Number srgb[5] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};

	if (transfer == TRANSFER_LINEAR)
		return cmsBuildGamma(NULL, 1);
	if (transfer != TRANSFER_PQ && transfer != TRANSFER_HLG)
		return cmsBuildParametricToneCurve(NULL, 4, srgb);
	cmsUInt16Number *table = mem_array(STEPS, sizeof *table);
	if (!table)
		return NULL;
	for (size_t i = 0; i < STEPS; i++)
		table[i] = (cmsUInt16Number)(rolled_off(light_of(transfer, (double)i / (STEPS - 1))) * 65535 + 0.5);
	cmsToneCurve *curve = cmsBuildTabulatedToneCurve16(NULL, STEPS, table);
	free(table);
	return curve;
}

void image_colour_coded(unsigned primaries, unsigned transfer, struct buffer *icc)
{
	static const cmsCIExyY d65 = {0.3127, 0.3290, 1};
	static const cmsCIExyYTRIPLE rec709 = {{0.640, 0.330, 1}, {0.300, 0.600, 1}, {0.150, 0.060, 1}};
	static const cmsCIExyYTRIPLE p3 = {{0.680, 0.320, 1}, {0.265, 0.690, 1}, {0.150, 0.060, 1}};
	static const cmsCIExyYTRIPLE rec2020 = {{0.708, 0.292, 1}, {0.170, 0.797, 1}, {0.131, 0.046, 1}};
	bool wide = primaries == PRIMARIES_2020 || primaries == PRIMARIES_DCI || primaries == PRIMARIES_P3;
	bool curved = transfer == TRANSFER_PQ || transfer == TRANSFER_HLG || transfer == TRANSFER_LINEAR;

	if (!wide && !curved)
		return; /* sRGB, BT.709, BT.601, or not said */
	const cmsCIExyYTRIPLE *triple = primaries == PRIMARIES_2020 ? &rec2020 : wide ? &p3 : &rec709;
	cmsToneCurve *curve = tone_curve(transfer), *curves[3] = {curve, curve, curve};
	cmsHPROFILE profile = curve ? cmsCreateRGBProfile(&d65, triple, curves) : NULL;
	cmsUInt32Number size = 0;
	if (profile && cmsSaveProfileToMem(profile, NULL, &size) && size) {
		void *bytes = malloc(size);
		if (bytes && cmsSaveProfileToMem(profile, bytes, &size))
			buffer_append(icc, bytes, size);
		free(bytes);
	}
	if (profile)
		cmsCloseProfile(profile);
	if (curve)
		cmsFreeToneCurve(curve);
}
