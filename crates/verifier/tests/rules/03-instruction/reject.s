# a feature that the contract does not declare
> refused: the processor feature it needs
    vpxor xmm2, xmm2, xmm2
    mov eax, esi
    ret

# bit manipulation that the contract does not declare
> refused: the processor feature it needs
    andn eax, esi, esi
    ret

# 32-byte vectors
> refused: more than sixteen bytes
> cpu: x86-64-v3
    vpaddd ymm1, ymm2, ymm2
    mov eax, esi
    ret

# 32-byte vectors from memory
> refused: more than sixteen bytes
> cpu: x86-64-v3
    mov eax, esi
    vmovdqu ymm1, [rdi + rax]  ! memory
    ret

# the high byte registers
> refused: not on the list
    mov eax, esi
    mov ah, al
    ret

# a bit test that reaches beyond its operand
> refused: not on the list
    mov eax, esi
    bt [rdi + rax], esi  ! memory
    ret

# a system call
> refused: 
    bytes 0f 05
    mov eax, esi
    ret

# an old system call
> refused: 
    bytes cd 80
    mov eax, esi
    ret

# sysenter
> refused: 
    bytes 0f 34
    mov eax, esi
    ret

# a breakpoint
> refused: 
    bytes cc
    mov eax, esi
    ret

# halting
> refused: 
    bytes f4
    mov eax, esi
    ret

# the protection keys
> refused: 
    bytes 0f 01 ef
    mov eax, esi
    ret

# reading the protection keys
> refused: 
    bytes 0f 01 ee
    mov eax, esi
    ret

# the base of a segment
> refused: 
    bytes f3 0f ae d0
    mov eax, esi
    ret

# a segment prefix
> refused: segment prefixes
    bytes 64 8b 06
    mov eax, esi
    ret

# a lock prefix
> refused: locked
    bytes f0 0f b1 37
    mov eax, esi
    ret

# 32-bit addresses
> refused: 32-bit addressing
    bytes 67 8b 06
    mov eax, esi
    ret

# an operand-size prefix before a branch
> refused: disagree
    bytes 66 e9 00 00
    mov eax, esi
    ret

# a repeat prefix that means nothing
> refused: repeat prefix
    bytes f3 89 f0
    mov eax, esi
    ret

# two prefixes of a kind
> refused: twice
    bytes 66 66 89 f0
    mov eax, esi
    ret

# a prefix after the last one
> refused: after the last
    bytes 48 66 89 f0
    mov eax, esi
    ret

# a string instruction
> refused: 
    bytes a4
    mov eax, esi
    ret

# a repeated string instruction
> refused: 
    bytes f3 aa
    mov eax, esi
    ret

# x87
> refused: 
    bytes d9 e8
    mov eax, esi
    ret

# MMX
> refused: 
    bytes 0f ef c0
    mov eax, esi
    ret

# the time
> refused: 
    bytes 0f 31
    mov eax, esi
    ret

# the processor's name
> refused: 
    bytes 0f a2
    mov eax, esi
    ret

# a transaction
> refused: 
    bytes c7 f8 00 00 00 00
    mov eax, esi
    ret

# the rounding mode
> refused: 
    bytes 0f ae 14 24
    mov eax, esi
    ret

# saving the state
> refused: 
    bytes 0f ae 04 24
    mov eax, esi
    ret

# flags from the stack
> refused: 
    bytes 9d
    mov eax, esi
    ret

# flags to the stack
> refused: 
    bytes 9c
    mov eax, esi
    ret

# the direction flag
> refused: 
    bytes fd
    mov eax, esi
    ret

# a far return
> refused: 
    bytes cb
    mov eax, esi
    ret

# a far jump
> refused: 
    bytes ff 2f
    mov eax, esi
    ret

# a port
> refused: 
    bytes ec
    mov eax, esi
    ret

# enter
> refused: 
    bytes c8 10 00 00
    mov eax, esi
    ret

# leave
> refused: 
    bytes c9
    mov eax, esi
    ret

# a table look-up
> refused: 
    bytes d7
    mov eax, esi
    ret

# compare and exchange
> refused: 
    bytes 0f b1 37
    mov eax, esi
    ret

# scatter and gather
> refused: 
    bytes c4 e2 69 92 04 0f
    mov eax, esi
    ret

# no instruction
> refused: no instruction
    bytes 06
    mov eax, esi
    ret

# loading a task register
> refused: 
    bytes 0f 00 d8
    mov eax, esi
    ret

# flushing a cache line
> refused: 
    bytes 0f ae 3f
    mov eax, esi
    ret

# random numbers
> refused: 
    bytes 0f c7 f0
    mov eax, esi
    ret

# AVX-512, not declared
> refused: does not declare
> cpu: x86-64-v3
    vpxor xmm2, xmm2, xmm2
    evex.vpabsq xmm2, xmm2
    mov eax, esi
    ret

# an AVX-512 instruction that is on the list in its older encoding only
> refused: not on the list
> cpu: all
    vpxor xmm2, xmm2, xmm2
    evex.vmulpd xmm2, xmm2, xmm2
    mov eax, esi
    ret

# one of thirty-two bytes
> refused: this form
> cpu: all
    evex.vpabsq ymm2, ymm2
    mov eax, esi
    ret

# one of sixty-four
> refused: this form
> cpu: all
    evex.vpabsq zmm2, zmm2
    mov eax, esi
    ret

# one of the upper registers
> refused: this form
> cpu: all
    evex.vpabsq xmm20, xmm2
    mov eax, esi
    ret

# one of them as a source
> refused: not on the list
> cpu: all
    evex.vpabsq xmm2, xmm20
    mov eax, esi
    ret

# a mask
> refused: this form
> cpu: all
    bytes 62 f2 fd 09 1f c0
    mov eax, esi
    ret

# lanes that a mask clears
> refused: this form
> cpu: all
    bytes 62 f2 fd 89 1f c0
    mov eax, esi
    ret

# one lane of memory for all
> refused: this form
> cpu: all
    bytes 62 f2 fd 18 1f 07
    mov eax, esi
    ret

# a rounding mode
> refused: this form
> cpu: all
    bytes 62 f1 7f 18 7a c0
    mov eax, esi
    ret

# a move that faults on what is not aligned
> refused: not on the list
> cpu: all
    bytes 62 f1 7c 08 28 c0
    mov eax, esi
    ret

# masks themselves
> refused: not on the list
> cpu: all
    knotw k1, k1
    mov eax, esi
    ret

# vectors of thirty-two bytes in the older encoding
> refused: more than sixteen bytes
> cpu: all
    vpxor ymm2, ymm2, ymm2
    mov eax, esi
    ret

# their loads
> refused: more than sixteen bytes
> cpu: all
    mov eax, esi
    vmovdqu ymm2, [rdi + rax]     ! memory
    mov eax, esi
    ret

# a scalar in an encoding for longer vectors, of which manuals say that processors may differ
> refused: more than sixteen bytes
> cpu: all
    vpxor xmm2, xmm2, xmm2
    bytes c5 ea 58 ca
    bytes c5 ee 58 ca
    mov eax, esi
    ret

# the same by three bytes of prefix
> refused: more than sixteen bytes
> cpu: all
    vpxor xmm2, xmm2, xmm2
    bytes c4 e1 6a 58 ca
    bytes c4 e1 6e 58 ca
    mov eax, esi
    ret

# two prefixes that both choose an instruction
> refused: one means nothing
    pxor xmm2, xmm2
    bytes 66 f2 0f 58 d2
    mov eax, esi
    ret

# the same the other way round, before an instruction on general registers
> refused: one means nothing
    bytes f3 66 0f b8 c6
    mov eax, esi
    ret

# a reversal of two bytes, whose result is undefined
> refused: not on the list
    movzx eax, si
    bytes 66 0f c8
    ret

# a breakpoint in code that is not metered
> refused: not on the list
    int3
    mov eax, esi
    ret

# a search for a bit that leaves the upper bytes of a register
> refused: not on the list
    mov rax, rdi
    xor r8d, r8d
    bsf ax, si
    cmovne r8, rax
    shr r8, 32
    mov eax, r8d
    ret

# a segment prefix after REX, which the processor then obeys
> refused: after the last
    mov eax, esi
    bytes 40 64 8b 04 07  ! memory
    ret

# an address of 32 bits, said after REX
> refused: after the last
    bytes 40 67 8b 05 03 00 00 00
    mov eax, esi
    ret
    bytes 01 02 03 04

# a lock prefix after REX
> refused: after the last
    mov eax, esi
    bytes 40 f0 01 04 07  ! memory
    ret

# an operand-size prefix before a conditional branch with a long distance
> refused: disagree
    mov eax, esi
    test esi, esi
    bytes 66 0f 84 00 00 00 00
    ret
