# a memory access, a division and a trap
> function: binary
    test rdx, rdx
    je .zero
    mov rax, rsi
    mov rcx, rdx
    xor edx, edx
    div rcx                         ! division
    ret
.zero:
    ud2                             ! unreachable
