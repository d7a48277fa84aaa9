/* banned.h: functions that cannot be used safely become compile errors (as git's banned.h does).
 * Include it last, after the system's headers. */
#ifndef SCHEMA_BASE_BANNED_H
#define SCHEMA_BASE_BANNED_H

#define BANNED(function) banned_function_##function

#undef strcpy
#define strcpy(...) BANNED(strcpy)
#undef strcat
#define strcat(...) BANNED(strcat)
#undef strncpy
#define strncpy(...) BANNED(strncpy)
#undef strncat
#define strncat(...) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef gets
#define gets(...) BANNED(gets)
#undef atoi
#define atoi(...) BANNED(atoi)
#undef atof
#define atof(...) BANNED(atof)
#undef gmtime
#define gmtime(...) BANNED(gmtime)
#undef localtime
#define localtime(...) BANNED(localtime)
#undef strtok
#define strtok(...) BANNED(strtok)

#endif
