/* SPDX-License-Identifier: MIT */
#include "core/control/terminal.h"

#include <errno.h>
#include <pthread.h>
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
	bool releases_at_exit;
	bool escaped; /* Ctrl-A was typed */
	void (*quit)(void *opaque);
	void *opaque;
} terminal;

/* From handlers too: async-signal-safe. */
static void set_modes(const struct termios *modes)
{
	sigset_t stop, old;

	/* A process in the background would be stopped for this, and stay so at its end. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTTOU);
	(void)pthread_sigmask(SIG_BLOCK, &stop, &old);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, modes); /* nothing else can be tried */
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void terminal_release(void)
{
	int saved_errno = errno;

	if (terminal.taken) {
		terminal.taken = 0;
		set_modes(&terminal.saved);
	}
	errno = saved_errno;
}

static void die(int signal_number)
{
	terminal_release();
	/*
	 * The signal now does what it always does. Said here, because an engine that handles faults
	 * itself may have put its handler before this one, which then is called by it.
	 */
	(void)signal(signal_number, SIG_DFL);
	(void)raise(signal_number);
}

/* Restores the terminal when a signal kills us, for every signal that nobody else handles. */
static void catch_deadly_signals(void)
{
	static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS,
			SIGQUIT, SIGHUP, SIGINT, SIGTERM, SIGALRM, SIGXCPU, SIGXFSZ, SIGUSR1,
			SIGUSR2};
	struct sigaction old, action = {.sa_handler = die};

	for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++) {
		if (sigaction(deadly[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
			(void)sigaction(deadly[i], &action, NULL);
		}
	}
}

bool terminal_take(void)
{
	struct termios raw;

	if (terminal.taken || tcgetattr(STDIN_FILENO, &terminal.saved) < 0) {
		return false;
	}
	raw = terminal.saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages end in plain newlines */
	terminal.taken = 1;
	terminal.escaped = false;
	if (!terminal.releases_at_exit) {
		terminal.releases_at_exit = true;
		atexit(terminal_release);
	}
	catch_deadly_signals();
	set_modes(&raw);
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
