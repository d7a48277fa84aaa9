/* config_options.h: every option that OpenCLIP knows of a CoCa's configuration, and what this program does with it. For config.c alone.
 *
 *     for (option = config_vision_options; option->name && strcmp(option->name, item->string) != 0; option++) ...
 *     if (!config_option_obeyed(option, item)) ...        // only config_option_rule(option, text) is supported
 */
#ifndef MODEL_FILES_CONFIG_OPTIONS_H
#define MODEL_FILES_CONFIG_OPTIONS_H

#include <cJSON.h>
#include <stdbool.h>

enum config_rule {
	USED,      /* read by config.c */
	ANY,       /* changes nothing at inference, or OpenCLIP ignores it, too */
	ONLY_NULL, /* null, or text if that is given */
	ONLY_FALSE,
	ONLY_TRUE,
	ONLY_ZERO,
	ONLY_TEXT,
	ONLY_EMPTY, /* null, {} or what a default LayerNorm or GELU would be given */
};

struct config_option {
	const char *name;
	enum config_rule rule;
	const char *text;
};

/* Of the file and its sections; the last has no name. */
extern const struct config_option config_file_options[], config_model_options[], config_vision_options[], config_text_options[],
	config_multimodal_options[], config_preprocess_options[];

bool config_option_obeyed(const struct config_option *option, const cJSON *item);
/* What the option must be, for a message. */
const char *config_option_rule(const struct config_option *option, char text[80]);

#endif
