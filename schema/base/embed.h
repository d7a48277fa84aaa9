/* embed.h: a text file of the source tree within the program, as a string.
 *
 *     EMBED_TEXT(help_search, "query/commands/search.txt");      // const char help_search[], ended by NUL
 *
 * The assembler reads the file, from the folder that make runs in; a text that changes is built in again, as Makefile's EMBEDDED lists it.
 */
#ifndef SCHEMA_BASE_EMBED_H
#define SCHEMA_BASE_EMBED_H

#define EMBED_TEXT(name, path)                                                                                           \
	__asm__(".section .rodata\n.global " #name "\n" #name ":\n.incbin \"" path "\"\n.byte 0\n.previous\n");          \
	extern const char name[]

#endif
