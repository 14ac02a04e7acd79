/* SPDX-License-Identifier: Apache-2.0 */
/* Places inside a push into the shared ring, and inside a drain of it, where a test comes between:
 * whatever others, or a signal, do meanwhile is done there, so it is met every time.
 *
 * A file that includes this has ring/shared.c of its own, with the places in it; the library that
 * is linked with it uses that, too.
 */
#ifndef TESTS_PLACES_H
#define TESTS_PLACES_H

/* What to do at each place, once: it is forgotten before it is called, so that pushes made there
 * are ordinary ones. */
static _Thread_local struct {
	void (*ticket)(void);	  /* a push has a ticket, and no slot yet */
	void (*claimed)(void);	  /* it has a slot, and no number yet */
	void (*written)(void);	  /* it has written all, and not published */
	void (*end_known)(void);  /* a drain knows how far it goes */
	void (*hole_seen)(void);  /* it has looked at one hole */
	void (*holes_read)(void); /* it has read what they have become */
	void (*slot_seen)(void);  /* it has looked at one slot of a group */
} at_place;

#define TALLY_TESTPOINT(place)                                                                     \
	do {                                                                                       \
		void (*call)(void) = at_place.place;                                               \
                                                                                                   \
		at_place.place = NULL;                                                             \
		if (call)                                                                          \
			call();                                                                    \
	} while (0)

#include "ring/shared.c"

#endif
