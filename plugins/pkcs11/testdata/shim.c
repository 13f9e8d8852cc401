/* A PKCS#11 module that is SoftHSM, but for what the folder of the variable SHIM says:
   a file "logins" gets a line for each C_Login, a file "hang" makes C_Sign wait until it is gone,
   a file "fail" makes C_Sign fail with the number in it, once, and is removed. */
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

enum { LOGIN = 18, SIGN = 43 };

static list ours;
static rv (*login)(unsigned long, unsigned long, unsigned char *, unsigned long);
static rv (*sign)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);

static char *name(char *buffer, size_t size, const char *file)
{
	snprintf(buffer, size, "%s/%s", getenv("SHIM"), file);
	return buffer;
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
	ours.call[LOGIN] = count_login;
	ours.call[SIGN] = odd_sign;
	*into = &ours;
	return 0;
}
