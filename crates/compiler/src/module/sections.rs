//! The sections of a module, gathered as they come.
//!
//! The validator has seen every section before it arrives here, so indices exist and types fit; what is
//! checked here are our own, lower limits.

use selvedge_contract::limits::*;
use selvedge_contract::types::{ExternType, FuncType, MemoryType, TableType};
use selvedge_contract::{ConstExpr, ElementItems, ElementSegment, Export, Extern, GlobalPlan, Import, SegmentMode};
use wasmparser::{BinaryReader, DataKind, ElementKind, ExternalKind, Payload, TableInit, TypeRef};

use super::convert;
use super::data::RawData;
use crate::error::{CompileError, Place};

/// What the sections say.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) types: Vec<FuncType>,
    pub(super) imports: Vec<Import>,
    /// Type indices of all functions, imports first.
    pub(super) function_types: Vec<u32>,
    pub(super) imported_functions: u32,
    pub(super) tables: Vec<TableType>,
    pub(super) memories: Vec<MemoryType>,
    pub(super) globals: Vec<GlobalPlan>,
    pub(super) imported_tables: u32,
    pub(super) imported_memories: u32,
    pub(super) exports: Vec<Export>,
    pub(super) start: Option<u32>,
    pub(super) elements: Vec<ElementSegment>,
    pub(super) data: Vec<RawData<'a>>,
    /// The contents of the name section.
    pub(super) names: Option<BinaryReader<'a>>,
    /// DWARF sections by name.
    pub(super) debug: Vec<(&'a str, &'a [u8])>,
    /// Where the code section's contents start.
    pub(super) code_offset: u32,
    element_items: u64,
}

impl<'a> Sections<'a> {
    /// Takes in one section.
    pub(super) fn take(&mut self, payload: Payload<'a>) -> Result<(), CompileError> {
        match payload {
            Payload::TypeSection(reader) => self.types(reader),
            Payload::ImportSection(reader) => self.imports(reader),
            Payload::FunctionSection(reader) => self.functions(reader),
            Payload::TableSection(reader) => self.tables(reader),
            Payload::MemorySection(reader) => self.memories(reader),
            Payload::GlobalSection(reader) => self.globals(reader),
            Payload::ExportSection(reader) => self.exports(reader),
            Payload::StartSection { func, .. } => {
                self.start = Some(func);
                Ok(())
            }
            Payload::ElementSection(reader) => self.elements(reader),
            Payload::DataSection(reader) => self.data(reader),
            Payload::CodeSectionStart { unchecked_range, .. } => {
                self.code_offset = unchecked_range.start as u32;
                Ok(())
            }
            Payload::CustomSection(section) => {
                self.custom(&section);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, reader: wasmparser::TypeSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the function types", reader.count().into(), TYPES_MAX)?;
        for ty in reader.into_iter_err_on_gc_types() {
            self.types.push(convert::func_type(&ty?)?);
        }
        Ok(())
    }

    fn imports(&mut self, reader: wasmparser::ImportSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the imports", reader.count().into(), IMPORTS_MAX)?;
        for import in reader.into_imports() {
            let import = import?;
            let ty = self.import_type(import.ty)?;
            self.imports.push(Import { module: import.module.into(), name: import.name.into(), ty });
        }
        Ok(())
    }

    fn import_type(&mut self, ty: TypeRef) -> Result<ExternType, CompileError> {
        Ok(match ty {
            TypeRef::Func(index) => {
                self.imported_functions += 1;
                self.function_types.push(index);
                ExternType::Func(self.types[index as usize].clone())
            }
            TypeRef::Table(ty) => {
                self.imported_tables += 1;
                ExternType::Table(convert::table_type(&ty)?)
            }
            TypeRef::Memory(ty) => {
                self.imported_memories += 1;
                ExternType::Memory(convert::memory_type(&ty))
            }
            TypeRef::Global(ty) => ExternType::Global(convert::global_type(&ty)?),
            TypeRef::Tag(_) | TypeRef::FuncExact(_) => {
                let message = "an imported tag or exact function".into();
                return Err(CompileError::Unsupported {
                    feature: "exceptions".into(),
                    message,
                    place: Place::default(),
                });
            }
        })
    }

    fn functions(&mut self, reader: wasmparser::FunctionSectionReader<'a>) -> Result<(), CompileError> {
        let count = u64::from(reader.count()) + u64::from(self.imported_functions);
        CompileError::cap("the functions, imports included", count, FUNCTIONS_MAX)?;
        for ty in reader {
            self.function_types.push(ty?);
        }
        Ok(())
    }

    fn tables(&mut self, reader: wasmparser::TableSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the tables", reader.count().into(), TABLES_MAX)?;
        for table in reader.into_iter_with_offsets() {
            let (offset, table) = table?;
            if let TableInit::Expr(_) = table.init {
                let feature = "function-references".into();
                let message = "a table with an initial value".into();
                return Err(CompileError::Unsupported { feature, message, place: Place::at(offset) });
            }
            self.tables.push(convert::table_type(&table.ty)?);
        }
        Ok(())
    }

    fn memories(&mut self, reader: wasmparser::MemorySectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the memories", reader.count().into(), MEMORIES_MAX)?;
        for ty in reader {
            self.memories.push(convert::memory_type(&ty?));
        }
        Ok(())
    }

    fn globals(&mut self, reader: wasmparser::GlobalSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the globals", reader.count().into(), GLOBALS_MAX)?;
        for global in reader {
            let global = global?;
            let init = convert::const_expr(&global.init_expr)?;
            self.globals.push(GlobalPlan { ty: convert::global_type(&global.ty)?, init });
        }
        Ok(())
    }

    fn exports(&mut self, reader: wasmparser::ExportSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the exports", reader.count().into(), EXPORTS_MAX)?;
        for export in reader.into_iter_with_offsets() {
            let (offset, export) = export?;
            let item = match export.kind {
                ExternalKind::Func => Extern::Func(export.index),
                ExternalKind::Table => Extern::Table(export.index),
                ExternalKind::Memory => Extern::Memory(export.index),
                ExternalKind::Global => Extern::Global(export.index),
                ExternalKind::Tag | ExternalKind::FuncExact => {
                    let message = "an exported tag or exact function".into();
                    let place = Place::at(offset);
                    return Err(CompileError::Unsupported { feature: "exceptions".into(), message, place });
                }
            };
            self.exports.push(Export { name: export.name.into(), item });
        }
        Ok(())
    }

    fn elements(&mut self, reader: wasmparser::ElementSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the element segments", reader.count().into(), ELEMENT_SEGMENTS_MAX)?;
        for element in reader {
            let element = element?;
            let mode = match &element.kind {
                ElementKind::Passive => SegmentMode::Passive,
                ElementKind::Declared => SegmentMode::Dropped,
                ElementKind::Active { table_index, offset_expr } => {
                    let offset = convert::const_expr(offset_expr)?;
                    SegmentMode::Active { target: table_index.unwrap_or(0), offset }
                }
            };
            let (ty, items) = self.element_items(element.items)?;
            self.elements.push(ElementSegment { mode, ty, items });
        }
        Ok(())
    }

    fn element_items(
        &mut self,
        items: wasmparser::ElementItems<'a>,
    ) -> Result<(selvedge_contract::types::RefType, ElementItems), CompileError> {
        let count = match &items {
            wasmparser::ElementItems::Functions(items) => items.count(),
            wasmparser::ElementItems::Expressions(_, items) => items.count(),
        };
        self.element_items += u64::from(count);
        CompileError::cap("the items of all element segments", self.element_items, ELEMENT_ITEMS_MAX)?;
        Ok(match items {
            wasmparser::ElementItems::Functions(items) => {
                let items = items.into_iter().collect::<Result<Vec<_>, _>>()?;
                (selvedge_contract::types::RefType::Func, ElementItems::Functions(items))
            }
            wasmparser::ElementItems::Expressions(ty, items) => {
                let convert = |expr: wasmparser::Result<_>| convert::const_expr(&expr?);
                let items = items.into_iter().map(convert).collect::<Result<Vec<ConstExpr>, _>>()?;
                (convert::ref_type(ty)?, ElementItems::Expressions(items))
            }
        })
    }

    fn data(&mut self, reader: wasmparser::DataSectionReader<'a>) -> Result<(), CompileError> {
        CompileError::cap("the data segments", reader.count().into(), DATA_SEGMENTS_MAX)?;
        for data in reader {
            let data = data?;
            let mode = match &data.kind {
                DataKind::Passive => SegmentMode::Passive,
                DataKind::Active { memory_index, offset_expr } => {
                    SegmentMode::Active { target: *memory_index, offset: convert::const_expr(offset_expr)? }
                }
            };
            self.data.push(RawData { mode, bytes: data.data });
        }
        Ok(())
    }

    fn custom(&mut self, section: &wasmparser::CustomSectionReader<'a>) {
        let name = section.name();
        if name == "name" {
            self.names = Some(BinaryReader::new(section.data(), section.data_offset()));
        } else if name.starts_with(".debug_") {
            self.debug.push((name, section.data()));
        }
    }
}
