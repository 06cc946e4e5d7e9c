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

# metered code that its limit stops
> metered: yes
    mov rax, [rdi - 64]
    add rax, 3
    cmp rax, [rdi - 72]
    ja .stop
.on:
    mov [rdi - 64], rax
    mov eax, esi
    ret
.stop:
    mov [rdi - 80], rax
    int3
    jmp .on
