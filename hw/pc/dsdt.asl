/* SPDX-License-Identifier: MIT */
/*
 * What a PC with Q35 and ICH9 identity tells its operating system. The numbers of the 64-bit window
 * and the set of serial ports are replaced when the machine is built (acpi.c looks for them); the
 * interrupt routing is pci_bus.c's.
 */
/*
 * Slot s, pin p: input 16 + (s + p) mod 4 of the I/O APIC. A table, not a method that fills one: guests evaluate
 * it for every device that is enabled, and their interpreter takes a time squared in its length to fill it.
 */
#define PIN(slot, pin, input) Package (4) { (slot << 16) | 0xffff, pin, 0, 16 + input }
#define SLOT(slot, a, b, c, d) PIN (slot, 0, a), PIN (slot, 1, b), PIN (slot, 2, c), PIN (slot, 3, d)
#define FOUR_SLOTS(first) \
                SLOT (first, 0, 1, 2, 3), SLOT ((first + 1), 1, 2, 3, 0), \
                SLOT ((first + 2), 2, 3, 0, 1), SLOT ((first + 3), 3, 0, 1, 2)

DefinitionBlock ("dsdt.aml", "DSDT", 2, "ORIEL", "ORIELPC", 1)
{
    /* SLP_TYP for PM1a and PM1b; ich9.c acts on it */
    Name (\_S5, Package () { 0, 0, 0, 0 })

    Scope (\_SB)
    {
        /* A bit for each serial port that the machine has. */
        Name (SERP, 0x33445566778899aa)

        /* _STA of serial port Arg0. */
        Method (SERS, 1, NotSerialized)
        {
            If (SERP & (1 << Arg0))
            {
                Return (0x0f)
            }
            Return (0)
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_SEG, 0)

            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0x0000, 0x00ff, 0, 0x0100)
                IO (Decode16, 0x0cf8, 0x0cf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0cf7, 0, 0x0cf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0d00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
                    ReadWrite, 0, 0x000a0000, 0x000bffff, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000)
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
                    ReadWrite, 0, 0x1122334455667000, 0x2233445566778fff, 0,
                    0x1111111111112000)
            })

            /* Control of native PCI Express features is the operating system's. */
            Method (_OSC, 4, NotSerialized)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 == ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766"))
                {
                    CreateDWordField (Arg3, 8, CDW3)
                    CDW3 &= 0x1f
                }
                Else
                {
                    CDW1 |= 4
                }
                Return (Arg3)
            }

            Name (_PRT, Package (128)
            {
                FOUR_SLOTS (0), FOUR_SLOTS (4), FOUR_SLOTS (8), FOUR_SLOTS (12),
                FOUR_SLOTS (16), FOUR_SLOTS (20), FOUR_SLOTS (24), FOUR_SLOTS (28)
            })

            Device (ISA)
            {
                Name (_ADR, 0x001f0000)

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }

                /* The first and third share an interrupt, and so do the others. */
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Method (_STA, 0, NotSerialized) { Return (SERS (0)) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03f8, 0x03f8, 0, 8)
                        IRQ (Edge, ActiveHigh, Shared) { 4 }
                    })
                }

                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA, 0, NotSerialized) { Return (SERS (1)) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02f8, 0x02f8, 0, 8)
                        IRQ (Edge, ActiveHigh, Shared) { 3 }
                    })
                }

                Device (COM3)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 3)
                    Method (_STA, 0, NotSerialized) { Return (SERS (2)) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03e8, 0x03e8, 0, 8)
                        IRQ (Edge, ActiveHigh, Shared) { 4 }
                    })
                }

                Device (COM4)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 4)
                    Method (_STA, 0, NotSerialized) { Return (SERS (3)) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02e8, 0x02e8, 0, 8)
                        IRQ (Edge, ActiveHigh, Shared) { 3 }
                    })
                }

                Device (PEVT)
                {
                    Name (_HID, "QEMU0001")
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0505, 0x0505, 1, 1)
                    })
                    OperationRegion (PEOR, SystemIO, 0x0505, 1)
                    Field (PEOR, ByteAcc, NoLock, Preserve) { PEPT, 8 }
                    Method (_STA, 0, NotSerialized)
                    {
                        /* All ones where the machine has none. */
                        If (PEPT == 0xff)
                        {
                            Return (0)
                        }
                        Return (0x0f)
                    }
                    Method (RDPT, 0, NotSerialized) { Return (PEPT) }
                    Method (WRPT, 1, NotSerialized) { PEPT = Arg0 }
                }
            }
        }

        /*
         * What no driver may claim: ECAM, chipset configuration, the power management ports, the edge/level registers, system
         * control port A.
         */
        Device (MBRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                DWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xb0000000, 0xbfffffff, 0, 0x10000000)
                DWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xfed1c000, 0xfed1ffff, 0, 0x4000)
                IO (Decode16, 0x0600, 0x0600, 1, 0x80)
                IO (Decode16, 0x04d0, 0x04d0, 1, 2)
                IO (Decode16, 0x0092, 0x0092, 1, 1)
            })
        }
    }
}
