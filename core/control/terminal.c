/* SPDX-License-Identifier: MIT */
#include "core/control/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE 0x01 /* Ctrl-A */

/* There is one terminal in a process, and a signal handler must find it. */
static struct {
	struct termios saved;
	volatile sig_atomic_t taken;
	bool escaped; /* Ctrl-A was typed */
	void (*quit)(void *opaque);
	void *opaque;
} terminal;

void terminal_release(void)
{
	if (terminal.taken) {
		terminal.taken = 0;
		/* nothing else can be tried */
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
	}
}

static void die(int signal_number)
{
	terminal_release();
	/* The handler was reset on entry: the signal now does what it always does. */
	raise(signal_number);
}

bool terminal_take(void)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT, SIGHUP};
	struct termios raw;

	if (terminal.taken || tcgetattr(STDIN_FILENO, &terminal.saved) < 0) {
		return false;
	}
	raw = terminal.saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages end in plain newlines */
	terminal.taken = 1;
	atexit(terminal_release);
	for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++) {
		struct sigaction old, action = {.sa_handler = die, .sa_flags = SA_RESETHAND};
		/* An engine that handles a fault itself calls us from its own last resort. */
		if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
			sigaction(deadly[i], &action, NULL);
		}
	}
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	return true;
}

void terminal_set_quit(void (*quit)(void *opaque), void *opaque)
{
	terminal.quit = quit;
	terminal.opaque = opaque;
}

static void escape_command(uint8_t key)
{
	if (key == 'x' && terminal.quit) {
		terminal.quit(terminal.opaque);
	} else if (key == 'h' || key == '?') {
		fputs("\nCtrl-A x  end the machine\nCtrl-A a  send Ctrl-A\nCtrl-A h  this help\n",
				stderr);
	}
}

bool terminal_filter(uint8_t *data, size_t *len)
{
	size_t kept = 0;

	for (size_t i = 0; i < *len; i++) {
		if (terminal.escaped) {
			terminal.escaped = false;
			if (data[i] == 'a' || data[i] == ESCAPE) {
				data[kept++] = ESCAPE;
			} else {
				escape_command(data[i]);
			}
		} else if (data[i] == ESCAPE) {
			terminal.escaped = true;
		} else {
			data[kept++] = data[i];
		}
	}
	*len = kept;
	return kept > 0;
}
