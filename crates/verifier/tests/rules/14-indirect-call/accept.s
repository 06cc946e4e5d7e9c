# an entry whose signature was compared
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
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call rcx
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the choice written the other way
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
    cmovne r8, rcx
    test rdx, rdx
    cmovne rdi, rdx
    call r8
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the entry's signature compared as the second operand
    .enter 40
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
    cmp r11, r9
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call rcx
    .leave 40

# an entry of a lent table, with its owner's context
    .enter 40
    mov rdx, [rdi + lent_table]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    shl rax, 5
    mov r10, [rdx]
    mov r9, [r10 + rax + 8]
    mov r8, [r10 + rax]
    mov r10, [r10 + rax + 16]
    mov rdx, [rdx + 24]
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test r10, r10
    cmovne rdx, r10
    mov rdi, rdx
    call rcx
    .leave 40
