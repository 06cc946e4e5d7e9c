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
