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

# in a loop, an entry that is read before a branch and called after it
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    push r14
    push rbx
    sub rsp, 24
    mov r14, rdi
    mov ebx, esi
.again:
    mov eax, ebx
    and eax, 0x1e0
    mov r9, [r14 + rax + entries + 8]
    mov r8, [r14 + rax + entries]
    mov rdx, [r14 + rax + entries + 16]
    cmp ebx, 7
    je .end
    cmp ebx, 9
    je .on
    add ebx, 1
.on:
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, r14
    mov rdi, rdx
    mov esi, ebx
    call rcx
    mov ebx, eax
    jmp .again
.end:
    mov eax, ebx
    add rsp, 24
    pop rbx
    pop r14
    ret
.deep:
    ud2                             ! stack

# the same, by an index that has a name before the loop and none in it
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    push r14
    push rbx
    sub rsp, 24
    mov r14, rdi
    mov ebx, esi
    and ebx, 0x1e0
    mov rax, rbx
.again:
    mov r9, [r14 + rbx + entries + 8]
    mov r8, [r14 + rbx + entries]
    mov rdx, [r14 + rbx + entries + 16]
    cmp ebx, 7
    je .end
.on:
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, r14
    mov rdi, rdx
    mov esi, ebx
    call rcx
    mov ebx, eax
    and ebx, 0x1e0
    cmp ebx, 9
    je .on_again
    jmp .again
.on_again:
    jmp .again
.end:
    mov eax, ebx
    add rsp, 24
    pop rbx
    pop r14
    ret
.deep:
    ud2                             ! stack

# an entry that is read before and after a place to which only a jump leads that nothing leads to
    .enter 24
    and esi, 0x1e0
    mov r9, [rdi + rsi + entries + 8]
    mov r8, [rdi + rsi + entries]
.between:
    mov rdx, [rdi + rsi + entries + 16]
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmovne rdi, rdx
    call rcx
    .leave 24
    jmp .between
    bytes cc
