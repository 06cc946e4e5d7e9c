# an index that a branch alone has bounded
> refused: the index is not bounded
    mov ecx, esi
    cmp ecx, 1
    ja .one
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# an index of which only half is known
> refused: the index is not bounded
    mov rcx, rsi
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
.one:
    mov eax, 1
    ret

# a distance that is read four gigabytes behind the table
> refused: the table does not lie in text
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    mov r8, 0x100000000
    add r8, rax
    movsxd rdx, dword [r8 + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# one that is read four gigabytes before it
> refused: the table does not lie in text
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    mov r8, -0x100000000
    add r8, rax
    movsxd rdx, dword [r8 + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# an index that is small but may not be looked at
> refused: the index is not bounded
    mov rcx, r11
    and ecx, 1
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret
