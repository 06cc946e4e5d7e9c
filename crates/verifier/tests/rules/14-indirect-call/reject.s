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

# where the entry has no context, a number is taken instead of the own
> refused: does not belong to the code
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
    cmp r9, r11
    cmove rcx, r8
    mov r10d, 64
    test rdx, rdx
    cmove rdx, r10
    mov rdi, rdx
    call rcx
    .leave 40

# where the entry has no context, another entry's is replaced
> refused: does not belong to the code
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
    mov r10, [rdi + entries + 0x30]
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove r10, rdi
    mov rdi, r10
    call rcx
    .leave 40

# the context of an entry that was read before another call
> refused: does not belong to the code
    .enter 40
    mov rdx, [rdi + entries + 0x30]
    mov [rsp], rdx
    mov [rsp + 8], rdi
    call @other
    mov rdi, [rsp + 8]
    mov esi, eax
    mov rdx, [rsp]
    mov r9, [rdi + entries + 0x28]
    mov r8, [rdi + entries + 0x20]
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call rcx
    .leave 40

# the context of another entry of a lent table
> refused: does not belong to the code
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
    mov eax, esi
    add eax, 1
    cmp rax, rcx
    cmova rax, rcx
    shl rax, 5
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
