/* probe_iptc.c: IPTC-IIM data sets. */
#include "indexer/facts/probe.h"

#include <stdio.h>
#include <string.h>

#include "schema/base/banned.h"

/* "20240731" and "180509+0200". */
static void read_iptc_time(struct probe *probe, enum probe_moment moment, const char *day, const char *clock)
{
	char time[32] = "";

	if (strlen(day) != 8)
		return;
	snprintf(time, sizeof time, "%.4s-%.2s-%.2s", day, day + 4, day + 6);
	if (strlen(clock) >= 6)
		snprintf(time + 10, sizeof time - 10, "T%.2s:%.2s:%.2s", clock, clock + 2, clock + 4);
	if (strlen(clock) == 11)
		snprintf(time + 19, sizeof time - 19, "%.3s:%.2s", clock + 6, clock + 9);
	probe_time(probe, moment, time, NULL);
}

/* Data sets: 0x1c, u8 record, u8 number, u16 size (big endian), the value. */
void probe_iptc(struct probe *probe, const uint8_t *iptc, size_t size)
{
	static const struct {
		uint8_t number;
		enum probe_text kind;
	} texts[] = {{5, PROBE_TITLE}, {105, PROBE_TITLE}, {120, PROBE_DESCRIPTION}, {25, PROBE_KEYWORDS},
		     {92, PROBE_PLACE}, {90, PROBE_PLACE}, {95, PROBE_PLACE}, {101, PROBE_PLACE}};
	enum { APPLICATION = 2, TIMES = 4 };
	static const uint8_t times[TIMES] = {55, 60, 62, 63}; /* created: day, clock; digitised: day, clock */
	char said[TIMES][16] = {{0}};

	for (size_t at = 0; iptc && at < size && size - at >= 5 && iptc[at] == 0x1c;) {
		unsigned record = iptc[at + 1], data_set = iptc[at + 2];
		size_t length = (size_t)iptc[at + 3] << 8 | iptc[at + 4];
		const char *value = (const char *)iptc + at + 5;
		if (length > size - at - 5)
			break;
		for (size_t i = 0; i < sizeof texts / sizeof *texts && record == APPLICATION; i++)
			if (data_set == texts[i].number)
				probe_add_text(probe, texts[i].kind, value, length);
		for (size_t i = 0; i < TIMES && record == APPLICATION; i++)
			if (data_set == times[i])
				snprintf(said[i], sizeof said[i], "%.*s", (int)length, value);
		at += 5 + length;
	}
	read_iptc_time(probe, MOMENT_ORIGINAL, said[0], said[1]);
	read_iptc_time(probe, MOMENT_DIGITISED, said[2], said[3]);
}
