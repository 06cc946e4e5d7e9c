# the signature was not compared
> refused: the entry's signature was not compared
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov rdx, [rdi + rax + entries + 16]
    mov r11, unary_id
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call r8
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the own context instead of the entry's
> refused: does not belong to the code
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov rdx, [rdi + rax + entries + 16]
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    call rcx
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the context is not replaced where the entry has none
> refused: does not belong to the code
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov rdx, [rdi + rax + entries + 16]
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    mov rdi, rdx
    call rcx
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the context of another entry
> refused: does not belong to the code
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov rdx, [rdi + rax + entries + 16]
    mov r11, unary_id
    mov rdx, [rdi + entries + 0x30]
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call rcx
    add rsp, 24
    ret
.deep:
    ud2                             ! stack
