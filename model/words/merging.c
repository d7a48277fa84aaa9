/* merging.c: see merging.h. */
#include "model/words/merging.h"

#include <stdlib.h>

#include "schema/base/banned.h"

/* A pair that can be merged, as it was when it was found. */
struct candidate {
	uint32_t rank;
	int32_t left;          /* piece */
	int32_t ids[2], merged;
};

static bool comes_before(const struct candidate *a, const struct candidate *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct merging *m, struct candidate c)
{
	size_t i = m->heap_size++;

	for (; i && comes_before(&c, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = c;
}

static struct candidate heap_pop(struct merging *m)
{
	struct candidate top = m->heap[0], last = m->heap[--m->heap_size];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < m->heap_size) {
		if (child + 1 < m->heap_size && comes_before(&m->heap[child + 1], &m->heap[child]))
			child++;
		if (!comes_before(&m->heap[child], &last))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = last;
	return top;
}

/* Offers the pair that begins at a piece. */
static void offer(struct merging *m, int32_t left)
{
	if (left < 0 || m->pieces[left].after < 0)
		return;
	int32_t a = m->pieces[left].id, b = m->pieces[m->pieces[left].after].id;
	const struct merge *merge = vocabulary_merge(m->vocabulary, a, b);
	if (merge)
		heap_push(m, (struct candidate){merge->rank, left, {a, b}, merge->id});
}

static bool still_there(const struct merging *m, const struct candidate *c)
{
	const struct piece *left = &m->pieces[c->left];
	return left->id == c->ids[0] && left->after >= 0 && m->pieces[left->after].id == c->ids[1];
}

static void join(struct merging *m, const struct candidate *c)
{
	struct piece *left = &m->pieces[c->left], *right = &m->pieces[left->after];

	left->id = c->merged;
	right->id = -1;
	left->after = right->after;
	if (left->after >= 0)
		m->pieces[left->after].before = c->left;
}

/* As CLIP does it: all occurrences of the pair with the lowest rank are joined, from the left, before others are looked at. */
static void merge_all(struct merging *m)
{
	while (m->heap_size) {
		size_t n = 0;
		uint32_t rank = m->heap[0].rank;
		while (m->heap_size && m->heap[0].rank == rank) {
			struct candidate c = heap_pop(m);
			if (still_there(m, &c)) {
				join(m, &c);
				m->round[n++] = c;
			}
		}
		for (size_t i = 0; i < n; i++) {
			int32_t left = m->round[i].left;
			offer(m, m->pieces[left].before);
			offer(m, left);
		}
	}
}

/* Room for a word of size bytes: each byte but one begins a pair, and each join takes one pair away and makes at most two. */
static bool reserve_word(struct merging *m, size_t size)
{
	return size <= INT32_MAX && mem_grow(&m->pieces, &m->piece_room, size, sizeof *m->pieces) &&
	       mem_grow(&m->heap, &m->heap_room, 2 * size, sizeof *m->heap) &&
	       mem_grow(&m->round, &m->round_room, size, sizeof *m->round);
}

bool merging_word(struct merging *m, const char *word, size_t size)
{
	if (!reserve_word(m, size))
		return false;
	m->heap_size = 0;
	for (size_t i = 0; i < size; i++) {
		bool last = i + 1 == size;
		m->pieces[i] = (struct piece){m->vocabulary->first[(uint8_t)word[i]][last], (int32_t)i - 1, last ? -1 : (int32_t)i + 1};
	}
	for (size_t i = 0; i + 1 < size; i++)
		offer(m, (int32_t)i);
	merge_all(m);
	return true;
}

void merging_release(struct merging *m)
{
	free(m->pieces);
	free(m->heap);
	free(m->round);
}
