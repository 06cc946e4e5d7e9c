# a base, an index and a displacement
    mov eax, esi
    mov eax, [rdi + rax + 8]        ! memory
    ret

# a scaled index that still has 32 bits
    movzx eax, si
    mov eax, [rdi + rax*8]          ! memory
    ret

# an aligned vector from constants
> function: floats
    paddd xmm1, [.lanes]
    ret
    bytes 00 00 00 00 00 00 00
.lanes:
    bytes 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
