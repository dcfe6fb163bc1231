/* SPDX-License-Identifier: MIT */
/*
 * Two cascaded 8259As (Intel 231468) at 0x20 and 0xa0 with the edge/level control registers of the
 * ICHs at 0x4d0 and 0x4d1 (ICH9 datasheet, 13.4), which take the place of the LTIM bit. All priority
 * modes, special masks, polling and automatic EOI are there. An edge whose input drops before it is
 * acknowledged ends as the spurious interrupt 7, as the data sheet has it. Left out: MCS-80 mode and
 * buffered mode; the cascade is wired, whatever ICW3 says.
 */
#include "hw/pc/i8259.h"

#include "core/engine/irqchip.h"
#include "core/memory/address_space.h"
#include "hw/pc/machine.h"

#define CASCADE_INPUT 2

#define ICW1 0x10
#define ICW1_NEED_ICW4 0x01
#define ICW1_SINGLE 0x02 /* no ICW3 follows */
#define ICW4_AUTO_EOI 0x02
#define ICW4_SPECIAL_NESTED 0x10
#define OCW2_ROTATE 0x80
#define OCW2_SPECIFIC 0x40
#define OCW2_EOI 0x20
#define OCW2_INPUT 0x07
#define OCW3 0x08
#define OCW3_READ_ISR 0x01
#define OCW3_READ 0x02
#define OCW3_POLL 0x04
#define OCW3_SPECIAL_MASK 0x20
#define OCW3_SET_SPECIAL_MASK 0x40
#define POLL_PENDING 0x80
#define SPURIOUS_INPUT 7

#define PORT_COMMAND 0
#define PORT_DATA 1

struct i8259 {
	struct device base;
	struct machine *machine;
	GMutex lock;

	struct pic {
		struct io_region ports, edge_level;
		struct i8259 *pair;
		bool slave;

		/* guest-visible; guarded by pair->lock */
		uint8_t irr, isr, imr;
		uint8_t level_triggered; /* ELCR */
		uint8_t vector_base;
		uint8_t lowest_priority; /* input after which the highest follows */
		uint8_t next_icw; /* 2, 3 or 4; 0: none */
		bool single, need_icw4, auto_eoi, rotate_on_auto_eoi;
		bool special_mask, special_nested, read_isr, poll;

		/* guarded by pair->lock */
		uint8_t lines; /* what the board drives */
	} pics[2];
};

static struct i8259 *i8259_of(struct device *device)
{
	assert(device->device_class == &i8259_class);
	return container_of(device, struct i8259, base);
}

/* The highest input of mask by rotating priority; 8 if it is empty. 0 is the highest rank. */
static unsigned rank_of_highest(const struct pic *pic, uint8_t mask)
{
	for (unsigned rank = 0; rank < 8; rank++) {
		if (mask & (1u << ((pic->lowest_priority + 1 + rank) & 7))) {
			return rank;
		}
	}
	return 8;
}

static unsigned input_of_rank(const struct pic *pic, unsigned rank)
{
	return (pic->lowest_priority + 1 + rank) & 7;
}

/* What is in service and counts: with a special mask, masked inputs do not. */
static uint8_t in_service(const struct pic *pic)
{
	return pic->special_mask ? pic->isr & (uint8_t)~pic->imr : pic->isr;
}

/* The input to be served next, -1 if there is none. */
static int pending_input(const struct pic *pic)
{
	unsigned rank = rank_of_highest(pic, pic->irr & (uint8_t)~pic->imr);
	unsigned served = rank_of_highest(pic, in_service(pic));

	if (rank == 8) {
		return -1;
	}
	unsigned input = input_of_rank(pic, rank);
	/* In special fully nested mode a slave may interrupt its own service, but no other's. */
	bool nested = pic->special_nested && !pic->slave && input == CASCADE_INPUT;
	return rank < served || (nested && rank == served) ? (int)input : -1;
}

static void set_line(struct pic *pic, unsigned input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);
	bool rising = level && !(pic->lines & bit);

	pic->lines = (uint8_t)(level ? pic->lines | bit : pic->lines & ~bit);
	if (pic->level_triggered & bit) {
		pic->irr = (uint8_t)(level ? pic->irr | bit : pic->irr & ~bit);
	} else if (rising) {
		pic->irr |= bit;
	} else if (!level) {
		pic->irr &= (uint8_t)~bit;
	}
}

/* Carries the slave's request to the master and the master's to the CPU. */
static void update_locked(struct i8259 *pair)
{
	set_line(&pair->pics[0], CASCADE_INPUT, pending_input(&pair->pics[1]) >= 0);
	struct irqchip *irqchip = pair->machine->irqchip;
	irqchip->impl->set_extint(irqchip, pending_input(&pair->pics[0]) >= 0);
}

void i8259_set_input(struct device *device, unsigned input, bool level)
{
	struct i8259 *pair = i8259_of(device);

	assert(input < 16);
	g_mutex_lock(&pair->lock);
	set_line(&pair->pics[input / 8], input % 8, level);
	update_locked(pair);
	g_mutex_unlock(&pair->lock);
}

/* The input goes into service; returns its vector, the spurious one if there is none. */
static uint8_t acknowledge_pic(struct pic *pic, int input)
{
	if (input < 0) {
		return pic->vector_base | SPURIOUS_INPUT;
	}
	uint8_t bit = (uint8_t)(1u << input);
	if (!(pic->level_triggered & bit)) {
		pic->irr &= (uint8_t)~bit;
	}
	if (!pic->auto_eoi) {
		pic->isr |= bit;
	} else if (pic->rotate_on_auto_eoi) {
		pic->lowest_priority = (uint8_t)input;
	}
	return (uint8_t)(pic->vector_base | input);
}

static uint8_t acknowledge_locked(struct i8259 *pair)
{
	int input = pending_input(&pair->pics[0]);
	uint8_t vector;

	if (input == CASCADE_INPUT) {
		vector = acknowledge_pic(&pair->pics[1], pending_input(&pair->pics[1]));
		(void)acknowledge_pic(&pair->pics[0], input); /* the slave gave the vector */
		/* The slave's request drops in between: if there is another, it makes an edge. */
		set_line(&pair->pics[0], CASCADE_INPUT, false);
	} else {
		vector = acknowledge_pic(&pair->pics[0], input);
	}
	update_locked(pair);
	return vector;
}

uint8_t i8259_acknowledge(struct device *device)
{
	struct i8259 *pair = i8259_of(device);

	g_mutex_lock(&pair->lock);
	uint8_t vector = acknowledge_locked(pair);
	g_mutex_unlock(&pair->lock);
	return vector;
}

static void write_icw1(struct pic *pic, uint8_t value)
{
	pic->irr = pic->lines & pic->level_triggered;
	pic->isr = pic->imr = 0;
	pic->lowest_priority = 7;
	pic->auto_eoi = pic->rotate_on_auto_eoi = false;
	pic->special_mask = pic->special_nested = pic->read_isr = pic->poll = false;
	pic->single = value & ICW1_SINGLE;
	pic->need_icw4 = value & ICW1_NEED_ICW4;
	pic->next_icw = 2;
}

static void end_of_interrupt(struct pic *pic, unsigned input, bool rotate)
{
	pic->isr &= (uint8_t) ~(1u << input);
	if (rotate) {
		pic->lowest_priority = (uint8_t)input;
	}
}

static void write_ocw2(struct pic *pic, uint8_t value)
{
	unsigned rank = rank_of_highest(pic, in_service(pic));
	bool rotate = value & OCW2_ROTATE, specific = value & OCW2_SPECIFIC, eoi = value & OCW2_EOI;

	if (eoi && specific) {
		end_of_interrupt(pic, value & OCW2_INPUT, rotate);
	} else if (eoi && rank < 8) {
		end_of_interrupt(pic, input_of_rank(pic, rank), rotate);
	} else if (!eoi && specific && rotate) {
		pic->lowest_priority = value & OCW2_INPUT;
	} else if (!eoi && !specific) {
		pic->rotate_on_auto_eoi = rotate;
	}
}

static void write_ocw3(struct pic *pic, uint8_t value)
{
	pic->poll = value & OCW3_POLL;
	if (value & OCW3_READ) {
		pic->read_isr = value & OCW3_READ_ISR;
	}
	if (value & OCW3_SET_SPECIAL_MASK) {
		pic->special_mask = value & OCW3_SPECIAL_MASK;
	}
}

static void write_data(struct pic *pic, uint8_t value)
{
	unsigned last_icw = pic->need_icw4 ? 4 : 0;

	switch (pic->next_icw) {
	case 2:
		pic->vector_base = value & 0xf8;
		pic->next_icw = (uint8_t)(pic->single ? last_icw : 3);
		break;
	case 3: /* the cascade is wired, not programmed */
		pic->next_icw = (uint8_t)last_icw;
		break;
	case 4:
		pic->auto_eoi = value & ICW4_AUTO_EOI;
		pic->special_nested = value & ICW4_SPECIAL_NESTED;
		pic->next_icw = 0;
		break;
	default:
		pic->imr = value;
		break;
	}
}

static uint64_t pic_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct pic *pic = container_of(region, struct pic, ports);
	uint8_t value;
	(void)size;

	g_mutex_lock(&pic->pair->lock);
	if (pic->poll) {
		int input = pending_input(pic);
		value = input < 0 ? 0 : (uint8_t)(POLL_PENDING | input);
		if (input >= 0) {
			(void)acknowledge_pic(pic, input); /* the vector is not asked for */
		}
		pic->poll = false;
		update_locked(pic->pair);
	} else if (offset == PORT_DATA) {
		value = pic->imr;
	} else {
		value = pic->read_isr ? pic->isr : pic->irr;
	}
	g_mutex_unlock(&pic->pair->lock);
	return value;
}

static void pic_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pic *pic = container_of(region, struct pic, ports);
	uint8_t byte = (uint8_t)value;
	(void)size;

	g_mutex_lock(&pic->pair->lock);
	if (offset == PORT_DATA) {
		write_data(pic, byte);
	} else if (byte & ICW1) { /* at any time, in the middle of another sequence too */
		write_icw1(pic, byte);
	} else if (byte & OCW3) {
		write_ocw3(pic, byte);
	} else {
		write_ocw2(pic, byte);
	}
	update_locked(pic->pair);
	g_mutex_unlock(&pic->pair->lock);
}

static uint64_t elcr_read(struct io_region *region, uint64_t offset, unsigned size)
{
	struct pic *pic = container_of(region, struct pic, edge_level);
	(void)offset;
	(void)size;

	g_mutex_lock(&pic->pair->lock);
	uint8_t value = pic->level_triggered;
	g_mutex_unlock(&pic->pair->lock);
	return value;
}

static void elcr_write(struct io_region *region, uint64_t offset, uint64_t value, unsigned size)
{
	struct pic *pic = container_of(region, struct pic, edge_level);
	(void)offset;
	(void)size;

	g_mutex_lock(&pic->pair->lock);
	/* Timer, keyboard, cascade, RTC and coprocessor are edge-triggered for good. */
	pic->level_triggered = (uint8_t)(value & (pic->slave ? 0xde : 0xf8));
	pic->irr = (uint8_t)((pic->irr & ~pic->level_triggered) |
			     (pic->lines & pic->level_triggered));
	update_locked(pic->pair);
	g_mutex_unlock(&pic->pair->lock);
}

static bool i8259_realize(struct device *device, struct machine *machine, GError **error)
{
	static const uint16_t ports[2] = {0x20, 0xa0};
	struct i8259 *pair = i8259_of(device);
	(void)error;

	pair->machine = machine;
	g_mutex_init(&pair->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct pic *pic = &pair->pics[i];
		pic->pair = pair;
		pic->slave = i == 1;
		pic->ports = (struct io_region){.name = "pic",
				.size = 2,
				.byte_wide = true,
				.read = pic_read,
				.write = pic_write};
		pic->edge_level = (struct io_region){
				.name = "elcr", .size = 1, .read = elcr_read, .write = elcr_write};
		address_space_add(machine->ports, ports[i], &pic->ports);
		address_space_add(machine->ports, 0x4d0 + i, &pic->edge_level);
	}
	return true;
}

static void i8259_unrealize(struct device *device)
{
	struct i8259 *pair = i8259_of(device);

	for (unsigned i = 0; i < 2; i++) {
		address_space_remove(&pair->pics[i].ports);
		address_space_remove(&pair->pics[i].edge_level);
	}
	g_mutex_clear(&pair->lock);
}

static void i8259_reset(struct device *device)
{
	struct i8259 *pair = i8259_of(device);

	g_mutex_lock(&pair->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct pic *pic = &pair->pics[i];
		pic->level_triggered = 0;
		pic->vector_base = 0;
		write_icw1(pic, 0);
		pic->next_icw = 0;
		pic->imr = 0xff; /* nobody has said yet which vectors to use */
	}
	update_locked(pair);
	g_mutex_unlock(&pair->lock);
}

const struct device_class i8259_class = {
		.name = "i8259",
		.description = "pair of 8259A interrupt controllers",
		.size = sizeof(struct i8259),
		.internal = true,
		.realize = i8259_realize,
		.unrealize = i8259_unrealize,
		.reset = i8259_reset,
};
