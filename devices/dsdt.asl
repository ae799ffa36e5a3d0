/*
 * What the guest's ACPI is told of the parts that do not announce themselves. Compiled by iasl when the worker is built;
 * the numbers are those of board.c, parts.h and worker/memory.h. FIRMWARE, and BIOS or UEFI, are defined for a machine that has such, with
 * a PIIX4.
 *
 * With UEFI there is no PCI: what is on that bus is the firmware's, and Linux on Hyper-V, started by EFI, has no way to its configuration.
 */
DefinitionBlock ("", "DSDT", 2, "VDGRIS", "VERDIGRI", 0x00000001)
{
#ifdef FIRMWARE
    Name (\_S5, Package () { 0, 0, 0, 0 })
#else
    Name (\_S5, Package () { 5, 5, 0, 0 })
#endif

    /* The generation ID is another one; GPE_GENERATION of parts.h. */
    Scope (\_GPE)
    {
        Method (_E00, 0, NotSerialized)
        {
#ifdef UEFI
            Notify (\_SB.VMOD.VGEN, 0x80)
#else
            Notify (\_SB.PCI0.VGEN, 0x80)
#endif
        }
    }

    Scope (\_SB)
    {
#ifdef UEFI
        /* As Hyper-V has it: VMBus, and memory for its devices. */
        Device (VMOD)
        {
            Name (_HID, "ACPI0004")
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0xf8000000, 0xfebfffff, 0x00000000, 0x06c00000)
            })
#else
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00ff, 0x0000, 0x0100)
                IO (Decode16, 0x0cf8, 0x0cf8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0000, 0x0cf7, 0x0000, 0x0cf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0d00, 0xffff, 0x0000, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0x000a0000, 0x000bffff, 0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xf8000000, 0xfebfffff, 0x00000000, 0x06c00000)
            })
#ifdef BIOS

            /* INTA of the slots that may have one: a PIRQ each, turned by slots (pci.c), where SeaBIOS routes them, 10, 10, 11 and 11. */
            Name (_PRT, Package ()
            {
                Package () { 0x0008ffff, 0, Zero, 11 },
                Package () { 0x0009ffff, 0, Zero, 10 },
                Package () { 0x000affff, 0, Zero, 10 },
                Package () { 0x000bffff, 0, Zero, 11 },
                Package () { 0x000cffff, 0, Zero, 11 },
                Package () { 0x000dffff, 0, Zero, 10 },
                Package () { 0x000effff, 0, Zero, 10 },
                Package () { 0x000fffff, 0, Zero, 11 }
            })
#endif
#endif

            Device (COM1)
            {
                Name (_HID, EisaId ("PNP0501"))
                Name (_UID, One)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x03f8, 0x03f8, 0x08, 0x08)
                    IRQNoFlags () { 4 }
                })
            }

            Device (RTC)
            {
                Name (_HID, EisaId ("PNP0B00"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                    IRQNoFlags () { 8 }
                })
            }

            Device (TIMR)
            {
                Name (_HID, EisaId ("PNP0100"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
                    IRQNoFlags () { 0 }
                })
            }

            Device (PIC)
            {
                Name (_HID, EisaId ("PNP0000"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
                    IO (Decode16, 0x00a0, 0x00a0, 0x01, 0x02)
                    IO (Decode16, 0x04d0, 0x04d0, 0x01, 0x02)
                    IRQNoFlags () { 2 }
                })
            }

#ifdef FIRMWARE
            Device (KBD)
            {
                Name (_HID, EisaId ("PNP0303"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                    IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                    IRQNoFlags () { 1 }
                })
            }

            Device (MOU)
            {
                Name (_HID, EisaId ("PNP0F13"))
                Name (_CRS, ResourceTemplate ()
                {
                    IRQNoFlags () { 12 }
                })
            }
#endif

            /* Enlightened systems look for it by this name; what devices want of memory comes from the bus above. */
            Device (VMBS)
            {
                Name (_HID, "VMBus")
                Name (_UID, Zero)
                Name (_DDN, "VMBUS")
                Method (_STA, 0, NotSerialized)
                {
                    Return (0x0F)
                }
                Name (_CRS, ResourceTemplate ()
                {
                    IRQNoFlags () { 5 }
                })
            }

#ifdef UEFI
            /* A TPM, if there is one: where none is, reads give ones. TPM_BASE of parts.h, INTF_ID of tpm_crb.c. */
            Device (TPM)
            {
                Name (_HID, "MSFT0101")
                Name (_UID, Zero)
                Name (_CRS, ResourceTemplate ()
                {
                    Memory32Fixed (ReadWrite, 0xfed40000, 0x00001000)
                })
                OperationRegion (CRB, SystemMemory, 0xfed40030, 0x04)
                Field (CRB, DWordAcc, NoLock, Preserve)
                {
                    INID, 32
                }
                Method (_STA, 0, NotSerialized)
                {
                    If (LEqual (INID, 0xffffffff))
                    {
                        Return (Zero)
                    }
                    Return (0x0F)
                }
            }
#endif

            /* Where the generation ID is; ACPI_GENERATION_GPA of acpi_tables.h, or BOARD_GENERATION_BASE of board.h. */
            Device (VGEN)
            {
                Name (_HID, "VDGR0001")
                Name (_CID, "VM_Gen_Counter")
                Name (_DDN, "VM_Gen_Counter")
#ifdef FIRMWARE
                Name (ADDR, Package () { 0xfed50000, 0 })
#else
                Name (ADDR, Package () { 0x000ef000, 0 })
#endif
            }

            Device (MBRD)
            {
                Name (_HID, EisaId ("PNP0C02"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
                    IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
#ifdef FIRMWARE
                    IO (Decode16, 0x0510, 0x0510, 0x01, 0x0c)
                    Memory32Fixed (ReadOnly, 0xfed50000, 0x00001000)
#endif
#ifdef BIOS
                    IO (Decode16, 0x0600, 0x0600, 0x01, 0x40)
#endif
#ifdef UEFI
                    IO (Decode16, 0xb000, 0xb000, 0x01, 0x40)
#endif
#ifndef FIRMWARE
                    IO (Decode16, 0x0400, 0x0400, 0x01, 0x10)
#endif
                    Memory32Fixed (ReadWrite, 0xfec00000, 0x00001000)
                    Memory32Fixed (ReadWrite, 0xfee00000, 0x00001000)
                })
            }
        }
    }
}
