/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of `tally top`: taken over, waited for, and given back however the command ends.
 *
 * Handlers that ask for something set a flag and write a byte to a pipe that the wait polls; none
 * calls curses. Where nothing can be asked for any more - a crash, or a second request while the
 * first was not heard - a handler restores the terminal by itself, with what was prepared for it.
 */
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "top.h"

/* Long enough for the rest of a key's sequence, too short to be felt after Escape. */
#define ESCAPE_DELAY_MS 25

static struct {
	SCREEN *screen;
	int wake[2];
	struct termios before;
	/* What a handler writes to restore the screen. */
	char restore[256];
	size_t restore_size;
	bool mouse;
	volatile sig_atomic_t open;
	volatile sig_atomic_t ending; /* the signal that asked for it */
	volatile sig_atomic_t resized, stopped, continued;
} term = { .wake = { -1, -1 } };

/* ---- Handlers -------------------------------------------------------------------------------- */

void top_term_wake(void)
{
	int saved_errno = errno;
	ssize_t done = write(term.wake[1], "", 1); /* full: it will wake anyway */

	(void)done;
	errno = saved_errno;
}

/* Everything here may be called in a handler. */
static void restore_at_once(void)
{
	ssize_t done;

	if (!term.open)
		return;
	term.open = 0;
	done = write(STDOUT_FILENO, term.restore, term.restore_size);
	(void)done;
	tcsetattr(STDIN_FILENO, TCSANOW, &term.before);
}

/* Ends as if there had been no handler; its signal is blocked until that returns. */
static void end_by(int number)
{
	restore_at_once();
	signal(number, SIG_DFL);
	raise(number);
}

static void on_end(int number)
{
	if (term.ending) {
		end_by(number);
		return;
	}
	term.ending = number;
	top_term_wake();
}

static void on_change(int number)
{
	if (number == SIGWINCH)
		term.resized = 1;
	else if (number == SIGTSTP)
		term.stopped = 1;
	else
		term.continued = 1;
	top_term_wake();
}

static void handle(int number, void (*handler)(int number), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

/* What was ignored (nohup) stays so. */
static void handle_end(int number)
{
	struct sigaction now;

	if (sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		handle(number, on_end, SA_RESTART);
}

static void handle_signals(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP };
	static char stack[65536]; /* the thread's own may be what has run over */
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	size_t n;

	sigaltstack(&other, NULL);
	for (n = 0; n < sizeof(crashes) / sizeof(crashes[0]); n++)
		handle(crashes[n], end_by, SA_ONSTACK);
	/* It was first, and is to stay so: it hands on the faults that are not of a cut region. */
	tally_consumer_guard();
	handle_end(SIGINT);
	handle_end(SIGTERM);
	handle_end(SIGHUP);
	handle_end(SIGQUIT);
	handle_end(SIGPIPE);
	handle(SIGWINCH, on_change, SA_RESTART);
	handle(SIGTSTP, on_change, SA_RESTART);
	handle(SIGCONT, on_change, SA_RESTART);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static const char *capability(const char *name)
{
	char *text = tigetstr(name);

	return text == (char *)-1 ? NULL : text;
}

static void prepare(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (term.restore_size + length > sizeof(term.restore))
		return;
	if (length)
		memcpy(term.restore + term.restore_size, text, length);
	term.restore_size += length;
}

/* What endwin() would say. Delays in them ("$<5>") are for terminals of another age. */
static void prepare_restoring(void)
{
	term.restore_size = 0;
	if (term.mouse)
		prepare("\033[?1006l\033[?1000l");
	prepare(capability("sgr0"));
	prepare(capability("rmkx"));
	prepare(capability("cnorm"));
	prepare(capability("rmcup"));
}

static void start_curses(void)
{
	set_escdelay(ESCAPE_DELAY_MS);
	cbreak();
	noecho();
	nonl();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	curs_set(0);
	term.mouse = mousemask(BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED, NULL) != 0;
	mouseinterval(0); /* a click is its press: it is not waited for another */
	if (!getenv("NO_COLOR") || !*getenv("NO_COLOR"))
		if (has_colors() && start_color() == OK)
			use_default_colors();
}

int top_term_open(void)
{
	const char *name = getenv("TERM");

	if (tcgetattr(STDIN_FILENO, &term.before) != 0 ||
	    pipe2(term.wake, O_CLOEXEC | O_NONBLOCK) != 0) {
		say("the terminal cannot be used: %s", strerror(errno));
		return EXIT_ERROR;
	}
	/* Before curses, which then installs none of its own. */
	handle_signals();
	term.screen = newterm(NULL, stdout, stdin);
	if (!term.screen || !capability("cup")) {
		if (term.screen)
			endwin();
		say("the terminal (TERM=%s) cannot place text; set TERM, or use `tally ps`",
		    name ? name : "");
		return EXIT_ERROR;
	}
	start_curses();
	prepare_restoring();
	term.open = 1;
	atexit(restore_at_once);
	return 0;
}

void top_term_close(void)
{
	if (!term.open)
		return;
	endwin();
	term.open = 0;
}

int top_term_signal(void)
{
	return term.ending;
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* As the shell expects of ^Z: the terminal as it was, then stopped. */
static void stop(void)
{
	sigset_t set;

	term.stopped = 0;
	endwin();
	handle(SIGTSTP, SIG_DFL, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGTSTP);
	handle(SIGTSTP, on_change, SA_RESTART);
	term.continued = 1;
}

/* Whoever stopped it, another has had the terminal meanwhile. */
static void resume(void)
{
	term.continued = 0;
	term.resized = 1;
	reset_prog_mode();
	top_redraw_all();
}

static void resize(void)
{
	struct winsize size;

	term.resized = 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
		resizeterm(size.ws_row, size.ws_col);
	top_redraw_all();
}

static bool take_changes(void)
{
	bool changed = false;

	if (term.stopped)
		stop();
	if (term.continued) {
		resume();
		changed = true;
	}
	if (term.resized) {
		resize();
		changed = true;
	}
	return changed;
}

enum top_event top_term_wait(uint64_t until_ns)
{
	struct pollfd from[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				  { .fd = term.wake[0], .events = POLLIN } };
	uint64_t now_ns = top_now_ns();
	uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / 1000000u + 1 : 0;
	bool woken = false;
	char bytes[64];

	if (poll(from, 2, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms) < 0 && errno != EINTR)
		return TOP_GONE;
	while (read(term.wake[0], bytes, sizeof(bytes)) > 0)
		woken = true;
	if (term.ending)
		return TOP_STOP;
	if (take_changes())
		return TOP_DRAW;
	if (from[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		return TOP_GONE;
	if (from[0].revents)
		return TOP_KEYS;
	return woken ? TOP_DRAW : TOP_DUE;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static uint32_t take_mouse(int *mouse_y, int *mouse_x)
{
	MEVENT event;

	if (getmouse(&event) != OK)
		return TOP_KEY_OTHER;
	*mouse_y = event.y;
	*mouse_x = event.x;
	if (event.bstate & BUTTON4_PRESSED)
		return TOP_KEY_WHEEL_UP;
	if (event.bstate & BUTTON5_PRESSED)
		return TOP_KEY_WHEEL_DOWN;
	return event.bstate & BUTTON1_PRESSED ? TOP_KEY_CLICK : TOP_KEY_OTHER;
}

static uint32_t special(wint_t key, int *mouse_y, int *mouse_x)
{
	static const struct {
		wint_t from;
		uint32_t to;
	} keys[] = {
		{ KEY_UP, TOP_KEY_UP },		{ KEY_DOWN, TOP_KEY_DOWN },
		{ KEY_PPAGE, TOP_KEY_PAGE_UP }, { KEY_NPAGE, TOP_KEY_PAGE_DOWN },
		{ KEY_HOME, TOP_KEY_HOME },	{ KEY_END, TOP_KEY_END },
		{ KEY_ENTER, TOP_KEY_ENTER },	{ KEY_BACKSPACE, TOP_KEY_BACKSPACE },
		{ KEY_DC, TOP_KEY_BACKSPACE },	{ KEY_F(1), '?' },
	};
	size_t n;

	if (key == KEY_MOUSE)
		return take_mouse(mouse_y, mouse_x);
	for (n = 0; n < sizeof(keys) / sizeof(keys[0]); n++)
		if (keys[n].from == key)
			return keys[n].to;
	return TOP_KEY_OTHER;
}

uint32_t top_term_key(int *mouse_y, int *mouse_x)
{
	wint_t key;
	int kind = get_wch(&key);

	if (kind == ERR)
		return KEY_NONE_LEFT;
	if (kind == KEY_CODE_YES)
		return special(key, mouse_y, mouse_x);
	switch (key) {
	case '\r':
	case '\n':
		return TOP_KEY_ENTER;
	case '\t':
		return TOP_KEY_TAB;
	case 27:
		return TOP_KEY_ESCAPE;
	case 8:
	case 127:
		return TOP_KEY_BACKSPACE;
	case 0:
		return TOP_KEY_OTHER;
	default:
		return (uint32_t)key;
	}
}
