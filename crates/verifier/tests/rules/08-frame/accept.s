# slots, pushed and written
    push rbp
    mov rbp, rsp
    sub rsp, 32
    mov [rsp + 8], esi
    mov eax, [rsp + 8]
    mov rsp, rbp
    pop rbp
    ret

# parameters on the stack
> function: on_stack
    mov rax, [rsp + 8]
    add rax, [rsp + 16]
    ret 16

# the area for results
> function: many
    mov eax, 1
    mov [rdi], rax
    mov ecx, 1
    mov edx, 1
    mov esi, 1
    mov r8d, 1
    mov r9d, 1
    mov r10d, 1
    mov edi, 1
    ret

# the stack pointer by a constant that was shifted to the top
    mov eax, -1
    shl rax, 32
    lea rcx, [rsp + rax]
    sub rcx, rax
    mov rsp, rcx
    mov eax, esi
    ret

# the stack pointer by a constant of four bytes
    xor eax, eax
    add eax, -8
    mov rcx, rsp
    sub rcx, rax
    add rcx, rax
    mov rsp, rcx
    mov eax, esi
    ret
