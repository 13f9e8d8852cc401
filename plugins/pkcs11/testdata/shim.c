/* A PKCS#11 module that is SoftHSM, but for what the folder of the variable SHIM says:
   a file "logins" gets a line for each C_Login, a file "hang" makes C_Sign wait until it is gone,
   a file "fail" makes C_Sign fail with the number in it, once, and is removed; a file "sessions" says how many sessions may be open
   at a time, a file "single" makes the token say that it allows one. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
typedef struct {
	unsigned char version[2];
	void *call[68];
} list;

enum { FINALIZE = 1, TOKEN_INFO = 6, OPEN_SESSION = 12, CLOSE_SESSION = 13, CLOSE_ALL = 14, LOGIN = 18, SIGN = 43 };
enum { MAX_RW_SESSIONS = 120 }; /* octets before ulMaxRwSessionCount of CK_TOKEN_INFO */

static list ours;
static rv (*login)(unsigned long, unsigned long, unsigned char *, unsigned long);
static rv (*sign)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);
static rv (*open_session)(unsigned long, unsigned long, void *, void *, unsigned long *);
static rv (*close_session)(unsigned long);
static rv (*close_all)(unsigned long);
static rv (*finalize)(void *);
static rv (*token_info)(unsigned long, unsigned char *);
static int sessions;

static char *name(char *buffer, size_t size, const char *file)
{
	snprintf(buffer, size, "%s/%s", getenv("SHIM"), file);
	return buffer;
}

static rv few_sessions(unsigned long slot, unsigned long flags, void *app, void *notify, unsigned long *into)
{
	char path[4096];
	int most = 1 << 20;
	rv code;
	FILE *f = fopen(name(path, sizeof path, "sessions"), "r");
	if (f) {
		if (fscanf(f, "%d", &most) != 1)
			most = 0;
		fclose(f);
	}
	if (__atomic_add_fetch(&sessions, 1, __ATOMIC_SEQ_CST) > most) {
		__atomic_sub_fetch(&sessions, 1, __ATOMIC_SEQ_CST);
		return 0xb1;
	}
	code = open_session(slot, flags, app, notify, into);
	if (code)
		__atomic_sub_fetch(&sessions, 1, __ATOMIC_SEQ_CST);
	return code;
}

static rv one_less(unsigned long s)
{
	__atomic_sub_fetch(&sessions, 1, __ATOMIC_SEQ_CST);
	return close_session(s);
}

static rv none_left(unsigned long slot)
{
	sessions = 0;
	return close_all(slot);
}

static rv end(void *nothing)
{
	sessions = 0;
	return finalize(nothing);
}

static rv single_token(unsigned long slot, unsigned char *info)
{
	char path[4096];
	unsigned long one = 1;
	rv code = token_info(slot, info);
	if (!code && access(name(path, sizeof path, "single"), F_OK) == 0)
		memcpy(info + MAX_RW_SESSIONS, &one, sizeof one);
	return code;
}

static rv count_login(unsigned long s, unsigned long who, unsigned char *pin, unsigned long n)
{
	char path[4096];
	FILE *f = fopen(name(path, sizeof path, "logins"), "a");
	if (f) {
		fputs("login\n", f);
		fclose(f);
	}
	return login(s, who, pin, n);
}

static rv odd_sign(unsigned long s, unsigned char *data, unsigned long n, unsigned char *out, unsigned long *size)
{
	char path[4096];
	unsigned long code = 0;
	FILE *f;
	while (access(name(path, sizeof path, "hang"), F_OK) == 0)
		usleep(10000);
	f = fopen(name(path, sizeof path, "fail"), "r");
	if (f) {
		if (fscanf(f, "%lx", &code) != 1)
			code = 5;
		fclose(f);
		unlink(path);
		return code;
	}
	return sign(s, data, n, out, size);
}

rv C_GetFunctionList(list **into)
{
	list *theirs;
	rv (*get)(list **);
	void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
	if (!module || !(get = (rv (*)(list **))dlsym(module, "C_GetFunctionList")) || get(&theirs))
		return 5;
	memcpy(&ours, theirs, sizeof ours);
	login = ours.call[LOGIN];
	sign = ours.call[SIGN];
	open_session = ours.call[OPEN_SESSION];
	close_session = ours.call[CLOSE_SESSION];
	close_all = ours.call[CLOSE_ALL];
	finalize = ours.call[FINALIZE];
	token_info = ours.call[TOKEN_INFO];
	ours.call[OPEN_SESSION] = few_sessions;
	ours.call[CLOSE_SESSION] = one_less;
	ours.call[CLOSE_ALL] = none_left;
	ours.call[FINALIZE] = end;
	ours.call[TOKEN_INFO] = single_token;
	ours.call[LOGIN] = count_login;
	ours.call[SIGN] = odd_sign;
	*into = &ours;
	return 0;
}
