/* classes.h: zero-shot classification of an evalset: each distinct first caption is a class, described by prompts
 * (model/words/prompts.h) around what it names. */
#ifndef QUERY_TEACH_CLASSES_H
#define QUERY_TEACH_CLASSES_H

#include "query/measure/evalset.h"

/* recall->r1 and r5 are the share of photos whose class is the best, or among the best five, in percent. templates: a
 * file of prompts, one a line, each with {} where the class stands; NULL: those built in. A class's embedding is the mean of its prompts',
 * each and the mean normalised. */
enum status classes_recall(const struct listener *listener, struct engine *engine, const struct evalset *set, const char *templates,
			   size_t *classes, struct recall *recall, struct err *err);

/* The embeddings of n classes, as classes_recall has them. */
enum status classes_embed(const struct listener *listener, struct engine *engine, const char *const *names, size_t n, const char *templates,
			  float *embeddings /* [n,E] */, struct err *err);

#endif
