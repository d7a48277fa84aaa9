/* open.h: what a command needs (schema/cli/options.h), opened before it runs.
 *
 *     struct library library = {0};
 *     code = open_needs(&cli, &library, &err) == STATUS_OK ? command->run(&cli, &args) : open_failed(&cli, &err);
 *     library_close(&library);
 */
#ifndef QUERY_COMMANDS_OPEN_H
#define QUERY_COMMANDS_OPEN_H

#include "query/session/library.h"
#include "schema/cli/options.h"

/* Fills cli->library and cli->catalog by cli->needs. After an error close is still due. */
enum status open_needs(struct cli *cli, struct library *library, struct err *err);
/* As cli_fail, with exit code 3 where nothing was indexed by the model. */
int open_failed(struct cli *cli, const struct err *err);

#endif
