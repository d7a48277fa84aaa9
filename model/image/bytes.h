/* bytes.h: whole numbers as file formats lay them: the most significant byte first (big) or last (little). */
#ifndef MODEL_IMAGE_BYTES_H
#define MODEL_IMAGE_BYTES_H

#include <stdint.h>

static inline uint32_t big16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t big32(const uint8_t *p)
{
	return big16(p) << 16 | big16(p + 2);
}

static inline uint32_t little16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t little24(const uint8_t *p)
{
	return little16(p) | (uint32_t)p[2] << 16;
}

static inline uint32_t little32(const uint8_t *p)
{
	return little16(p) | little16(p + 2) << 16;
}

#endif
