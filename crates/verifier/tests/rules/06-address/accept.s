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

# one of several aligned vectors of constants
> function: binary
    mov eax, esi
    and eax, 16
    lea rcx, [.lanes]
    pxor xmm1, xmm1
    paddd xmm1, [rcx + rax]
    mov eax, esi
    ret
.times 8
    bytes 00
.end
.lanes:
.times 32
    bytes 00
.end
