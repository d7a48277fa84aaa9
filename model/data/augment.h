/* augment.h: a photograph's bytes become a training crop: a random part of it, resized to the model's side, perhaps mirrored, in
 * perhaps other light.
 *
 * The part is drawn as torchvision's RandomResizedCrop draws it: an area of scale_least to 1 of the photograph's, sides of 3:4 to
 * 4:3. A JPEG is decoded no larger than that part needs. Resampling is image.h's, so that training sees what searching will.
 */
#ifndef MODEL_DATA_AUGMENT_H
#define MODEL_DATA_AUGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/base/status.h"

struct augment {
	double scale_least;  /* 1: the whole photograph's centre */
	bool flip;
	double colour;       /* brightness, contrast and saturation are multiplied by 1 - colour to 1 + colour each; 0: they stay */
};

/* rgb[side,side,3]; *random moves on. */
enum status augment_image(const struct augment *augment, const uint8_t *bytes, size_t size, size_t side, uint64_t *random, uint8_t *rgb,
			  struct err *err);

#endif
