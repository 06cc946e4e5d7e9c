# a memory access that the table does not list
> refused: it may fault
    mov eax, esi
    mov eax, [rdi + rax]
    ret

# a memory access that the table calls something else
> refused: it may fault
    mov eax, esi
    mov eax, [rdi + rax]            ! unreachable
    ret

# a division that the table does not list
> function: binary
> refused: it may fault
    mov rax, rsi
    mov rcx, rdx
    xor edx, edx
    div rcx
    ret

# a trap that the table does not list
> refused: does not say why
    ud2

# an entry for what cannot trap
> refused: what cannot trap
    mov eax, esi                    ! memory
    ret

# an entry for an access to the frame
> refused: what cannot trap
    mov [rsp - 0], rdi              ! memory
    ud2                             ! unreachable

# an entry for a constant
> refused: what cannot trap
    mov eax, [.number]              ! memory
    ret
.number:
    bytes 01 00 00 00

# an entry for a breakpoint
> metered: yes
> refused: what cannot trap
    int3                            ! meter
    mov eax, esi
    ret
